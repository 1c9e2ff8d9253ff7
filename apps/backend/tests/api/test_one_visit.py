"""The route class that handles a request in one visit to a thread answers as FastAPI's own does.

Two small applications hold the same endpoints, one with each class, and are asked the same.
"""

import ast
import asyncio
import importlib
import inspect
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    Security,
)
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.routing import APIRoute, RouteContext, _EffectiveRouteContext
from fastapi.security import APIKeyHeader, HTTPBasic, HTTPBasicCredentials, SecurityScopes
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field, field_serializer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import one_visit, plan, serialization, short_way
from app.api.api import route_contexts
from app.api.one_visit import OneVisitRoute
from app.api.threads import Threads
from app.main import create_app

CONTEXT: ContextVar[str] = ContextVar("test_one_visit", default="unset")


class Lamp(BaseModel):
    title: str = Field(min_length=1)
    watts: int = 5
    shade: str | None = None


class Wanted(BaseModel):
    watts: list[int] = []
    title: str | None = None


class TeapotError(Exception):
    pass


# --- Dependencies. What they leave behind is in `request.state.trace`.


def trace(request: Request) -> list[str]:
    request.state.trace = getattr(request.state, "trace", [])
    traced: list[str] = request.state.trace
    return traced


Trace = Annotated[list[str], Depends(trace)]


def outer(request: Request, traced: Trace) -> Iterator[str]:
    traced.append("outer in")
    try:
        yield "outer"
    except TeapotError:
        traced.append("outer saw a teapot")
        raise
    finally:
        traced.append("outer out")
        request.app.state.traces.append(list(traced))


Outer = Annotated[str, Depends(outer, scope="function")]


def inner(value: Outer, traced: Trace) -> Iterator[str]:
    traced.append("inner in")
    yield f"inner of {value}"
    traced.append("inner out")


Inner = Annotated[str, Depends(inner, scope="function")]


def raise_after() -> Iterator[None]:
    yield
    raise HTTPException(409, "raised in the teardown")


def translate() -> Iterator[None]:
    try:
        yield
    except TeapotError:
        raise HTTPException(418, "translated in the teardown") from None


def swallow() -> Iterator[None]:
    with suppress(TeapotError):
        yield


def crash_before() -> Iterator[None]:
    raise HTTPException(403, "raised before the yield")
    yield


def count(request: Request) -> int:
    request.state.count = getattr(request.state, "count", 0) + 1
    counted: int = request.state.count
    return counted


Counted = Annotated[int, Depends(count)]
CountedAnew = Annotated[int, Depends(count, use_cache=False)]


def count_below(counted: Counted) -> int:
    return counted


class Page:
    def __init__(self, skip: int = 0, limit: Annotated[int, Query(le=100)] = 10) -> None:
        self.skip = skip
        self.limit = limit


@dataclass(frozen=True)
class Adding:
    number: int

    def __call__(self, value: int = 0) -> int:
        return value + self.number


class Opening:
    def __call__(self) -> Iterator[str]:
        yield "opened"


async def think(counted: Counted) -> str:
    return f"thought {counted}"


def set_headers(response: Response) -> None:
    response.headers["X-From-Dependency"] = "yes"
    response.set_cookie("from", "dependency")


def read_scopes(scopes: SecurityScopes) -> list[str]:
    return scopes.scopes


basic = HTTPBasic()
api_key = APIKeyHeader(name="X-Key", auto_error=False)


# --- Endpoints.


def add_plain(router: APIRouter) -> None:
    @router.get("/none")
    def get_none() -> None:
        return None

    @router.get("/dict")
    def get_dict() -> dict[str, Any]:
        return {"a": 1, "ü": "ö", "none": None}

    @router.get("/text", response_class=PlainTextResponse)
    def get_text() -> str:
        return "text"

    @router.get("/response")
    def get_response() -> Response:
        return JSONResponse({"raw": True}, 203, {"X-Raw": "yes"})

    @router.get("/redirect")
    def get_redirect() -> RedirectResponse:
        return RedirectResponse("/dict", 307)

    @router.get("/empty", status_code=204)
    def get_empty() -> None:
        return None

    @router.get("/async")
    async def get_async(counted: Counted) -> int:
        await asyncio.sleep(0)
        return counted

    @router.get("/stream")
    def get_stream() -> Iterator[Lamp]:
        yield Lamp(title="one")
        yield Lamp(title="two")


def add_models(router: APIRouter) -> None:
    @router.post("/lamps", status_code=201, response_model=Lamp)
    def create_lamp(lamp: Lamp) -> Any:
        return {"title": lamp.title, "watts": lamp.watts, "secret": "left out"}

    @router.post("/lamps/brief", response_model=Lamp, response_model_exclude_unset=True)
    def create_brief(lamp: Lamp) -> Any:
        return lamp

    @router.get("/lamps", response_model=list[Lamp])
    def get_lamps() -> Any:
        return [Lamp(title="one"), {"title": "two", "watts": "7"}]

    @router.get("/broken", response_model=Lamp)
    def get_broken() -> Any:
        return {"watts": "many"}

    @router.post("/two")
    def take_two(lamp: Lamp, note: Annotated[str, Body()]) -> Any:
        return [lamp, note]

    @router.post("/embedded")
    def take_embedded(lamp: Annotated[Lamp, Body(embed=True)]) -> Any:
        return lamp


def add_parameters(router: APIRouter) -> None:
    @router.get("/path/{number}")
    def get_path(number: Annotated[int, Path(ge=1)]) -> int:
        return number

    @router.get("/query")
    def get_query(q: str, n: int = 1, more: Annotated[list[str] | None, Query()] = None) -> Any:
        return [q, n, more]

    @router.get("/query-model")
    def get_query_model(wanted: Annotated[Wanted, Query()]) -> Any:
        return wanted

    @router.get("/header")
    def get_header(
        x_one: Annotated[str, Header()], x_many: Annotated[list[str] | None, Header()] = None
    ) -> Any:
        return [x_one, x_many]

    @router.get("/cookie")
    def get_cookie(taste: Annotated[str | None, Cookie()] = None) -> Any:
        return taste

    @router.post("/form")
    def post_form(name: Annotated[str, Form()], age: Annotated[int, Form()] = 3) -> Any:
        return [name, age]


def add_dependencies(router: APIRouter) -> None:
    @router.get("/cached")
    def get_cached(
        one: Counted, below: Annotated[int, Depends(count_below)], anew: CountedAnew
    ) -> Any:
        return [one, below, anew]

    @router.get("/class")
    def get_class(page: Annotated[Page, Depends()]) -> Any:
        return [page.skip, page.limit]

    @router.get("/callable")
    def get_callable(
        one: Annotated[int, Depends(Adding(1))], ten: Annotated[int, Depends(Adding(10))]
    ) -> Any:
        return [one, ten]

    @router.get("/callable-generator")
    def get_opened(opened: Annotated[str, Depends(Opening())]) -> Any:
        return opened

    @router.get("/thought")
    def get_thought(thought: Annotated[str, Depends(think)], counted: Counted) -> Any:
        return [thought, counted]

    @router.get("/headers", dependencies=[Depends(set_headers)])
    def get_headers(response: Response) -> Any:
        response.status_code = 202
        response.headers.append("X-From-Endpoint", "one")
        response.headers.append("X-From-Endpoint", "two")
        return "headers"

    @router.get("/overridden")
    def get_overridden(counted: Counted) -> Any:
        return counted


def add_security(router: APIRouter) -> None:
    @router.get("/scopes")
    def get_scopes(
        scopes: Annotated[list[str], Security(read_scopes, scopes=["a", "b"])],
        plain: Annotated[list[str], Depends(read_scopes)],
    ) -> Any:
        return [scopes, plain]

    @router.get("/basic")
    def get_basic(credentials: Annotated[HTTPBasicCredentials, Depends(basic)]) -> Any:
        return credentials.username

    @router.get("/key")
    def get_key(key: Annotated[str | None, Security(api_key)]) -> Any:
        return key


def add_teardowns(router: APIRouter) -> None:
    @router.get("/generators")
    def get_generators(value: Inner, again: Outer, traced: Trace) -> Any:
        traced.append("endpoint")
        return [value, again]

    @router.get("/generators/refusal")
    def refuse(value: Inner) -> Any:
        raise HTTPException(404, {"no": value}, {"X-Refused": "yes"})

    @router.get("/generators/teapot")
    def be_teapot(value: Inner) -> Any:
        raise TeapotError

    @router.get("/generators/invalid")
    def be_invalid(value: Inner, number: int) -> Any:
        return [value, number]

    @router.get("/background")
    def get_background(request: Request, tasks: BackgroundTasks, value: Outer) -> Any:
        tasks.add_task(request.app.state.traces.append, ["background"])
        return value


def add_failures(router: APIRouter) -> None:
    @router.get("/raise-after", dependencies=[Depends(raise_after, scope="function")])
    def get_raised_after() -> Any:
        return "never seen"

    @router.get("/crash-before")
    def get_crashed_before(
        value: Outer, _crash: Annotated[None, Depends(crash_before, scope="function")]
    ) -> Any:
        return value

    @router.get("/translate", dependencies=[Depends(translate, scope="function")])
    def get_translated() -> Any:
        raise TeapotError

    @router.get("/swallow", dependencies=[Depends(swallow, scope="function")])
    def get_swallowed() -> Any:
        raise TeapotError

    @router.get("/crash")
    def crash(value: Outer) -> Any:
        raise RuntimeError(value)


def make_app(route_class: type[APIRoute]) -> FastAPI:
    app = FastAPI()
    app.state.threads = Threads(2, name="one-visit")
    app.state.traces = []
    router = APIRouter(route_class=route_class, prefix="/x")
    add_plain(router)
    add_models(router)
    add_parameters(router)
    add_dependencies(router)
    add_security(router)
    add_teardowns(router)
    add_failures(router)
    app.include_router(router)
    return app


@dataclass(frozen=True)
class Pair:
    stock: TestClient
    ours: TestClient


@pytest.fixture(scope="module")
def pair() -> Pair:
    stock, ours = (
        TestClient(make_app(kind), raise_server_exceptions=False, follow_redirects=False)
        for kind in (APIRoute, OneVisitRoute)
    )
    return Pair(stock, ours)


@pytest.fixture(autouse=True)
def _no_traces(pair: Pair) -> None:
    for client in (pair.stock, pair.ours):
        app_of(client).state.traces = []


def app_of(client: TestClient) -> FastAPI:
    assert isinstance(client.app, FastAPI)
    return client.app


def ask(client: TestClient, asked: str, options: dict[str, Any]) -> tuple[int, Any, bytes]:
    method, path = asked.split()
    response = client.request(method, f"/x{path}", **options)
    client.cookies.clear()
    return response.status_code, sorted(response.headers.multi_items()), response.content


ASKED: list[tuple[str, dict[str, Any], int]] = [
    ("GET /none", {}, 200),
    ("GET /dict", {}, 200),
    ("GET /text", {}, 200),
    ("GET /response", {}, 203),
    ("GET /redirect", {}, 307),
    ("GET /empty", {}, 204),
    ("GET /async", {}, 200),
    ("GET /stream", {}, 200),
    ("GET /nope", {}, 404),
    ("DELETE /dict", {}, 405),
    ("POST /lamps", {"json": {"title": "lamp", "watts": 7}}, 201),
    ("POST /lamps", {"json": {"title": ""}}, 422),
    ("POST /lamps", {"json": {"watts": "many"}}, 422),
    ("POST /lamps", {"json": []}, 422),
    ("POST /lamps", {}, 422),
    ("POST /lamps", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422),
    ("POST /lamps", {"content": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
    ("POST /lamps/brief", {"json": {"title": "lamp"}}, 200),
    ("GET /lamps", {}, 200),
    ("GET /broken", {}, 500),
    ("POST /two", {"json": {"lamp": {"title": "a"}, "note": "b"}}, 200),
    ("POST /two", {"json": {"lamp": {}, "nope": "b"}}, 422),
    ("POST /embedded", {"json": {"lamp": {"title": "a"}}}, 200),
    ("POST /embedded", {"json": {"title": "a"}}, 422),
    ("GET /path/7", {}, 200),
    ("GET /path/0", {}, 422),
    ("GET /path/seven", {}, 422),
    ("GET /query?q=a&n=2&more=x&more=y", {}, 200),
    ("GET /query?q=a", {}, 200),
    ("GET /query?n=two", {}, 422),
    ("GET /query-model?watts=1&watts=2&title=a", {}, 200),
    ("GET /query-model?watts=x", {}, 422),
    ("GET /header", {"headers": [("X-One", "1"), ("X-Many", "a"), ("X-Many", "b")]}, 200),
    ("GET /header", {}, 422),
    ("GET /cookie", {"headers": {"Cookie": "taste=good"}}, 200),
    ("GET /cookie", {}, 200),
    ("POST /form", {"data": {"name": "ann", "age": "7"}}, 200),
    ("POST /form", {"files": {"name": (None, "ann")}}, 200),
    ("POST /form", {"data": {"age": "x"}}, 422),
    ("POST /form", {}, 422),
    ("GET /cached", {}, 200),
    ("GET /class?skip=3", {}, 200),
    ("GET /class?limit=101", {}, 422),
    ("GET /callable?value=5", {}, 200),
    ("GET /callable-generator", {}, 200),
    ("GET /thought", {}, 200),
    ("GET /headers", {}, 202),
    ("GET /scopes", {}, 200),
    ("GET /basic", {"auth": ("ann", "x")}, 200),
    ("GET /basic", {}, 401),
    ("GET /key", {"headers": {"X-Key": "k"}}, 200),
    ("GET /key", {}, 200),
    ("GET /generators", {}, 200),
    ("GET /generators/refusal", {}, 404),
    ("GET /generators/teapot", {}, 500),
    ("GET /generators/invalid?number=x", {}, 422),
    ("GET /raise-after", {}, 409),
    ("GET /crash-before", {}, 403),
    ("GET /translate", {}, 418),
    ("GET /swallow", {}, 500),
    ("GET /crash", {}, 500),
    ("GET /background", {}, 200),
]


@pytest.mark.parametrize(("asked", "options", "status"), ASKED)
def test_one_visit_answers_as_the_stock_route(
    pair: Pair, asked: str, options: dict[str, Any], status: int
) -> None:
    expected = ask(pair.stock, asked, options)

    answered = ask(pair.ours, asked, options)

    assert expected[0] == status
    assert answered == expected


@pytest.mark.parametrize(
    "asked", [asked for asked, *_ in ASKED if re.search("generators|crash|background", asked)]
)
def test_one_visit_tears_down_in_the_same_order(pair: Pair, asked: str) -> None:
    ask(pair.stock, asked, {})
    ask(pair.ours, asked, {})

    traces = app_of(pair.ours).state.traces
    assert traces == app_of(pair.stock).state.traces
    assert traces
    assert traces[0][-1] == "outer out"


def test_one_visit_uses_overrides_as_the_stock_route(pair: Pair) -> None:
    def instead(q: int = 40) -> int:
        return q + 2

    clients = (pair.stock, pair.ours)
    for client in clients:
        app_of(client).dependency_overrides[count] = instead
    overridden = [ask(client, "GET /overridden", {}) for client in clients]
    for client in clients:
        app_of(client).dependency_overrides.clear()
    restored = [ask(client, "GET /overridden", {}) for client in clients]

    assert overridden[0] == overridden[1]
    assert [overridden[1][2], restored[1][2]] == [b"42", b"1"]


def test_one_visit_leaves_the_document_as_it_is(pair: Pair) -> None:
    assert app_of(pair.ours).openapi() == app_of(pair.stock).openapi()


# --- What it promises beyond.


def client_of(*endpoints: Callable[..., Any]) -> TestClient:
    app = FastAPI()
    app.state.threads = Threads(2, name="one-visit")
    router = APIRouter(route_class=OneVisitRoute)
    for endpoint in endpoints:
        router.add_api_route(f"/{endpoint.__name__}", endpoint, methods=["GET"])
    app.include_router(router)
    return TestClient(app)


def test_one_visit_runs_all_of_a_request_in_one_thread() -> None:
    seen: dict[str, str] = {}

    def note(part: str) -> None:
        seen[part] = threading.current_thread().name

    class Answer(BaseModel):
        value: str

        @field_serializer("value")
        def note_serialisation(self, value: str) -> str:
            note("answer")
            return value

    def plain() -> None:
        note("dependency")

    def generator(_plain: Annotated[None, Depends(plain)]) -> Iterator[None]:
        note("set-up")
        yield
        note("teardown")

    async def thinking() -> None:
        note("coroutine")

    def endpoint(
        _generator: Annotated[None, Depends(generator)],
        _thinking: Annotated[None, Depends(thinking)],
    ) -> Answer:
        note("endpoint")
        return Answer(value="done")

    response = client_of(endpoint).get("/endpoint")

    assert response.json() == {"value": "done"}
    assert set(seen) == {
        "dependency",
        "set-up",
        "coroutine",
        "endpoint",
        "answer",
        "teardown",
    }
    assert len(set(seen.values())) == 1
    assert seen["endpoint"].startswith("one-visit")


def test_one_visit_sees_the_context_variables_of_its_request() -> None:
    def set_inside() -> str:
        before = CONTEXT.get()
        CONTEXT.set("inside")
        return before

    def endpoint(before: Annotated[str, Depends(set_inside)]) -> list[str]:
        return [before, CONTEXT.get()]

    client = client_of(endpoint)
    outside = SettingContext(client.app)
    answers = [TestClient(outside).get("/endpoint").json() for _ in range(2)]

    assert answers == [["outside", "inside"]] * 2
    assert outside.seen_after == ["outside"] * 2


class SettingContext:
    """Sets the context variable around the application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen_after: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        CONTEXT.set("outside")
        await self.app(scope, receive, send)
        self.seen_after.append(CONTEXT.get())


@pytest.mark.parametrize("scope", [None, "function", "request"])
def test_one_visit_tears_down_before_the_answer_leaves(
    scope: Literal["function", "request"] | None,
) -> None:
    events: list[str] = []

    def generator() -> Iterator[None]:
        yield
        events.append("teardown")

    def endpoint(_generator: Annotated[None, Depends(generator, scope=scope)]) -> str:
        return "done"

    app = client_of(endpoint).app

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_noted(message: Message) -> None:
            events.append(message["type"])
            await send(message)

        await app(scope, receive, send_noted)

    response = TestClient(noting).get("/endpoint")

    assert response.json() == "done"
    assert events == ["teardown", "http.response.start", "http.response.body"]


def test_one_visit_answers_an_error_when_a_teardown_fails() -> None:
    def generator() -> Iterator[None]:
        yield
        raise TeapotError

    def endpoint(_generator: Annotated[None, Depends(generator)]) -> str:
        return "done"

    with pytest.raises(TeapotError):
        client_of(endpoint).get("/endpoint")


def test_one_visit_names_a_dependency_that_really_awaits() -> None:
    seen: list[str] = []

    def generator() -> Iterator[None]:
        try:
            yield
            seen.append("went well")
        except RuntimeError:
            seen.append("failed")
            raise

    async def waiting() -> None:
        await asyncio.sleep(0)

    def endpoint(
        _generator: Annotated[None, Depends(generator)], _waiting: Annotated[None, Depends(waiting)]
    ) -> str:
        return "never reached"

    with pytest.raises(RuntimeError, match="awaited"):
        client_of(endpoint).get("/endpoint")

    assert seen == ["failed"], "a transaction would have been committed"


def test_one_visit_blames_no_awaiting_where_a_teardown_swallows_an_error() -> None:
    def generator() -> Iterator[None]:
        with suppress(TeapotError):
            yield

    def endpoint(_generator: Annotated[None, Depends(generator)]) -> str:
        raise TeapotError

    with pytest.raises(RuntimeError) as caught:
        client_of(endpoint).get("/endpoint")

    assert "awaited" not in str(caught.value)


def test_one_visit_takes_no_async_generator() -> None:
    async def opening() -> AsyncIterator[None]:
        yield

    def endpoint(_opening: Annotated[None, Depends(opening)]) -> str:
        return "never reached"

    with pytest.raises(TypeError, match="async generator"):
        client_of(endpoint).get("/endpoint")


def test_one_visit_serves_more_requests_than_it_has_threads() -> None:
    def endpoint() -> str:
        return "done"

    client = client_of(endpoint)
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: client.get("/endpoint").json(), range(24)))

    assert answers == ["done"] * 24


# --- Where it differs on purpose: misspelt parameters and bodies that do not say they are JSON.


def test_one_visit_refuses_unknown_parameters_by_name(pair: Pair) -> None:
    response = pair.ours.get("/x/dict?nope=1&never=2")

    places = [error["loc"] for error in response.json()["detail"]]
    assert response.status_code == 422
    assert places == [["query", "never"], ["query", "nope"]]


def test_one_visit_knows_the_parameters_of_its_dependencies(pair: Pair) -> None:
    response = pair.ours.get("/x/class?skip=1&limit=2&skipp=3")

    assert [error["loc"] for error in response.json()["detail"]] == [["query", "skipp"]]


# --- What it leans on.


@pytest.mark.parametrize("module", [one_visit, plan, serialization, short_way])
def test_one_visit_finds_the_internals_that_it_leans_on(module: ModuleType) -> None:
    imports = [
        (str(node.module), name.name)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom)
        and str(node.module).startswith(("fastapi", "starlette"))
        for name in node.names
    ]

    gone = [
        f"{origin}.{name}"
        for origin, name in imports
        if not hasattr(importlib.import_module(origin), name)
    ]

    assert len(imports) > 2
    assert gone == [], f"This FastAPI has no {', '.join(gone)}: see {module.__file__}"


def test_one_visit_finds_the_shape_of_fastapi_that_it_leans_on() -> None:
    def endpoint(lamp: Lamp) -> str:
        return lamp.title

    route = OneVisitRoute("/", endpoint, methods=["POST"])

    gone = [
        name
        for owner, names in (
            (route, OF_ROUTES),
            (RouteContext(route), [*OF_ROUTES, "path_regex", "param_convertors", "max_body_size"]),
            (route.dependant, OF_DEPENDANTS),
            (route.body_field, ["field_info", "validate", "serialize_json", "default"]),
            (FastAPI(), ["_native_telemetry", "dependency_overrides", "max_body_size"]),
        )
        for name in names
        if not hasattr(owner, name)
    ]
    assert gone == [], f"This FastAPI has no {', '.join(gone)}: see app/api/one_visit.py"
    assert "original_route" in {field.name for field in fields(_EffectiveRouteContext)}


OF_ROUTES = [
    "dependant",
    "body_field",
    "dependency_overrides_provider",
    "_embed_body_fields",
    "response_field",
    "response_class",
    "response_model_include",
    "response_model_exclude",
    "response_model_by_alias",
    "response_model_exclude_unset",
    "response_model_exclude_defaults",
    "response_model_exclude_none",
    "status_code",
    "strict_content_type",
    "is_sse_stream",
    "is_json_stream",
]
OF_DEPENDANTS = [
    "call",
    "name",
    "dependencies",
    "use_cache",
    "concurrency",
    "path_params",
    "query_params",
    "header_params",
    "cookie_params",
    "body_params",
    "http_connection_param_name",
    "request_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
]


def test_every_sync_route_takes_the_short_way() -> None:
    app = create_app()
    table = short_way.RouteTable(app)

    long_ones = set()
    for context in route_contexts(app):
        path = str(context.path).replace("{name}", "clean-up").replace("{", "").replace("}", "")
        for method in context.methods or ():
            found = table.find(method, path)
            assert found is not None
            assert found[0].context.endpoint is context.endpoint, path
            if found[0].handler is None:
                long_ones.add(path)

    assert long_ones == {"/health", "/health/ready"}  # They wait for nothing, or in time.
