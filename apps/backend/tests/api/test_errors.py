"""Every refusal has the one error body, wherever it arises, and tells nothing it should not."""

import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Form, HTTPException, Response
from fastapi.testclient import TestClient
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.deps import DbSession
from app.api.routing import Router
from app.core.config import get_settings
from app.core.errors import NotFoundError
from app.db.session import get_engine
from app.main import create_app
from app.models import Item, User
from tests.assertions import assert_error
from tests.conftest import POSTGRESQL
from tests.factories import make_item
from tests.settings import changed_settings, client_with

ITEMS = "/api/v1/items/"
USERS = "/api/v1/users/"
LOGIN = "/api/v1/auth/login"
JSON = {"Content-Type": "application/json"}
SECRET = "what-nobody-may-read"


def holds(text: str, fragment: str) -> bool:
    return fragment.lower() in text.lower()


# --- Paths and methods.


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nope/",
        "/api/v2/items/",
        "/api/v1/items/1/nope",
        "/api/v1/items//",
        "/docs/nope",
        "/docs/assets/nope.js",
        "/docs/assets/..%2f..%2fmain.py",
        "/%00",
        "/ünïcödé",
        "/" + "x" * 5000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_path_is_not_found(anonymous: TestClient, method: str, path: str) -> None:
    response = anonymous.request(method, path)

    if method != "GET" and path.startswith("/docs/assets/"):
        assert_error(response, 405, "METHOD_NOT_ALLOWED")
    else:
        assert_error(response, 404, "NOT_FOUND")


def test_refusal_names_the_path_that_was_asked(anonymous: TestClient) -> None:
    response = anonymous.get("/nope/ünïcödé?secret=1")

    assert response.json()["path"] == "/nope/ünïcödé"


def documented_methods(app: FastAPI) -> dict[str, set[str]]:
    """Name the methods of each path with its parameters filled in, as the document tells them."""
    templates = {path: set(item) for path, item in app.openapi()["paths"].items()}
    return {
        path: {
            method.upper()
            for template, methods in templates.items()
            if re.sub(r"\{\w+\}", "1", template) == path
            for method in methods
        }
        for path in (re.sub(r"\{\w+\}", "1", template) for template in templates)
    }


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_word_in_the_place_of_an_id_is_no_wrong_id(as_admin: TestClient, method: str) -> None:
    response = as_admin.request(method, "/api/v1/users/import")

    assert_error(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "POST"
    assert_error(as_admin.request(method, "/api/v1/users/other"), 404, "USER_NOT_FOUND")


def test_wrong_method_is_told_every_right_one(anonymous: TestClient) -> None:
    app = anonymous.app
    assert isinstance(app, FastAPI)

    answers = {path: anonymous.request("TRACE", path) for path in documented_methods(app)}

    assert len(answers) > 8
    for path, methods in documented_methods(app).items():
        assert_error(answers[path], 405, "METHOD_NOT_ALLOWED")
        expected = methods | {"HEAD"} if "GET" in methods else methods
        assert set(answers[path].headers["allow"].split(", ")) == expected, path


@pytest.mark.parametrize("url", [ITEMS, ITEMS.rstrip("/")])
@pytest.mark.parametrize("method", ["OPTIONS", "PROPFIND", "DELETE", "PUT"])
def test_wrong_method_of_a_collection_is_refused(
    anonymous: TestClient, method: str, url: str
) -> None:
    response = anonymous.request(method, url)

    assert_error(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("path", ["/docs", "/api/v1/openapi.json", "/docs/assets/swagger-ui.css"])
def test_wrong_method_of_a_document_is_told_the_right_ones(
    anonymous: TestClient, path: str
) -> None:
    response = anonymous.post(path)

    assert_error(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD"


def test_method_override_is_ignored(as_user: TestClient, db: Session, user: User) -> None:
    item = make_item(db, owner=user)

    response = as_user.get(f"{ITEMS}{item.id}", headers={"X-HTTP-Method-Override": "DELETE"})

    assert response.status_code == 200
    assert as_user.get(f"{ITEMS}{item.id}").status_code == 200


# --- Bodies that cannot be read.


@pytest.fixture(params=["POST item", "PATCH item", "PUT item", "POST user", "PATCH me"])
def send(request: pytest.FixtureRequest, as_admin: TestClient, db: Session, admin: User) -> Any:
    """Send a body to each of the routes that read one as JSON."""
    method = request.param.partition(" ")[0]
    item = make_item(db, owner=admin)
    url = {
        "POST item": ITEMS,
        "PATCH item": f"{ITEMS}{item.id}",
        "PUT item": f"{ITEMS}{item.id}",
        "POST user": USERS,
        "PATCH me": f"{USERS}me",
    }[request.param]

    def send(content: Any, headers: dict[str, str] = JSON) -> Any:
        return as_admin.request(method, url, content=content, headers=headers)

    return send


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"}",
        b"nope",
        b'{"title": "Lamp"',
        b'{"title": "Lamp",}',
        b"{'title': 'Lamp'}",
        b'{"title": "Lamp"} {}',
        b'{"title": "line\nbreak"}',
        b'{"title": "\xff"}',
        b"\xff\xfe\xfd",
        b'{"owner_id": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"title":' * 100_000,
    ],
    ids=lambda content: content[:20].decode("latin-1"),
)
def test_unreadable_json_is_refused(send: Callable[..., Any], content: bytes) -> None:
    response = send(content)

    assert_error(response, 400, "INVALID_JSON")


@pytest.mark.parametrize("content", [b"[]", b"1", b'"title"', b"true", b"NaN"])
def test_body_that_is_no_object_is_refused(send: Callable[..., Any], content: bytes) -> None:
    response = send(content)

    assert_error(response, 422, "INVALID_REQUEST")
    assert response.json()["detail"] == "The request body must be a JSON object."


@pytest.mark.parametrize("content", [b"", b"null"])
def test_body_that_is_not_there_is_refused_by_what_it_lacks(
    send: Callable[..., Any], content: bytes
) -> None:
    problem = send(content).json()

    assert (problem["status"], problem["error"]) == (422, "INVALID_REQUEST")
    assert problem["detail"] in {
        "The request body must be a JSON object.",
        *(f"{name}: This field is required." for name in problem["errors"]),
    }


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1e30", "1.5"])
def test_number_that_is_none_is_refused_by_its_field(as_admin: TestClient, number: str) -> None:
    body = f'{{"email": "ann@example.com", "token_quota": {number}}}'

    response = as_admin.post(USERS, content=body, headers=JSON)

    assert_error(response, 422, "INVALID_REQUEST", "token_quota")
    assert number not in response.text


@pytest.mark.parametrize("text", [rb"\ud800", rb"a\udfffb", rb"\ude00\ud83d", b"\xed\xa0\x80"])
def test_lone_surrogate_is_refused_as_a_value(as_user: TestClient, text: bytes) -> None:
    response = as_user.post(ITEMS, content=b'{"title": "' + text + b'"}', headers=JSON)

    assert_error(response, 422, "INVALID_REQUEST", "title")


@pytest.mark.parametrize("content", [rb'{"title": "Lamp", "\ud800": 1}', rb'{"\udfff": "\ud800"}'])
def test_lone_surrogate_is_refused_as_a_key(send: Callable[..., Any], content: bytes) -> None:
    response = send(content)

    assert response.status_code == 422
    assert_error(response, 422, "INVALID_REQUEST", *response.json()["errors"])


def test_nul_is_refused_as_a_key(send: Callable[..., Any]) -> None:
    response = send(rb'{"\u0000": 1}')

    assert response.status_code == 422
    assert "\0" in response.json()["errors"]


def test_deep_value_of_a_read_only_field_does_no_harm(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)
    body = '{"version": ' + "[" * 900 + "]" * 900 + "}"

    response = as_user.patch(f"{ITEMS}{item.id}", content=body, headers=JSON)

    assert response.status_code in {200, 422}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonx",
        "application",
        "json",
        "; charset=utf-8",
    ],
)
def test_body_that_does_not_say_it_is_json_is_refused(
    send: Callable[..., Any], content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type is not None else {}

    response = send(b'{"title": "Lamp"}', headers)

    assert_error(response, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/merge-patch+json",
    ],
)
def test_body_that_says_it_is_json_is_read(as_user: TestClient, content_type: str) -> None:
    response = as_user.post(
        ITEMS, content=b'{"title": "Lamp"}', headers={"Content-Type": content_type}
    )

    assert response.status_code == 201


# --- Bodies that are too large.


@pytest.fixture(scope="module")
def too_large() -> bytes:
    return b'{"title": "' + b"x" * get_settings().MAX_BODY_BYTES + b'"}'


def test_large_body_is_refused_by_its_announced_length(
    send: Callable[..., Any], too_large: bytes
) -> None:
    response = send(too_large)

    assert_error(response, 413, "BODY_TOO_LARGE")


def test_large_body_is_refused_when_it_comes_in_chunks(
    send: Callable[..., Any], too_large: bytes
) -> None:
    response = send(iter([too_large]))

    assert "content-length" not in response.request.headers
    assert_error(response, 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart"])
@pytest.mark.parametrize("chunked", [False, True])
def test_login_refuses_a_large_form(
    anonymous: TestClient, too_large: bytes, content_type: str, chunked: bool
) -> None:
    body = b"username=" + too_large
    headers = {"Content-Type": content_type}
    if content_type == "multipart":
        body = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n' + too_large
        headers = {"Content-Type": "multipart/form-data; boundary=x"}

    response = anonymous.post(LOGIN, content=iter([body]) if chunked else body, headers=headers)

    assert_error(response, 413, "BODY_TOO_LARGE")


def test_largest_body_is_still_read(as_user: TestClient) -> None:
    frame = b'{"title": ""}'
    padding = b"x" * (get_settings().MAX_BODY_BYTES - len(frame))

    response = as_user.post(
        ITEMS, content=frame.replace(b'""', b'"' + padding + b'"'), headers=JSON
    )

    assert_error(response, 422, "INVALID_REQUEST", "title")


def test_largest_body_comes_from_the_settings(as_user: TestClient) -> None:
    with client_with(MAX_BODY_BYTES="2048") as client:
        client.headers.update(as_user.headers)
        response = client.post(ITEMS, json={"title": "x" * 2048})

    assert_error(response, 413, "BODY_TOO_LARGE")


# --- Nothing is echoed.


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (ITEMS, {"title": [SECRET]}),
        (ITEMS, {"title": "Lamp", "status": SECRET}),
        (ITEMS, {"title": "Lamp", "owner_id": SECRET}),
        (ITEMS, {"title": "Lamp", "colour": SECRET}),
        (ITEMS, {"title": {"deep": {"er": SECRET}}}),
        (ITEMS, SECRET),
        (ITEMS, [SECRET]),
        (USERS, {"email": SECRET}),
        (USERS, {"email": f"{SECRET}@"}),
        (USERS, {"email": "ann@example.com", "password": SECRET * 20}),
        (USERS, {"email": "ann@example.com", "password": [SECRET]}),
        (USERS, {"email": "ann@example.com", "password": f"{SECRET}\0"}),
        (USERS, {"email": "ann@example.com", "username": f"{SECRET}!"}),
        (USERS, {"email": "ann@example.com", "role": SECRET}),
        (USERS, {"email": "ann@example.com", "is_active": SECRET}),
        (USERS, {"email": "ann@example.com", "token_quota": SECRET}),
    ],
)
def test_refused_body_is_not_echoed(as_admin: TestClient, url: str, body: Any) -> None:
    response = as_admin.post(url, json=body)

    assert response.status_code == 422
    assert_error(response, 422, "INVALID_REQUEST", *response.json()["errors"])
    assert not holds(response.text, SECRET)


@pytest.mark.parametrize(
    "asked",
    [
        {"sort": SECRET},
        {"sort": f'["{SECRET}","ASC"]'},
        {"skip": SECRET},
        {"status": SECRET},
        {"created_at": SECRET},
        {"filter": SECRET},
        {"filter": f'{{"id":"{SECRET}"}}'},
        {"range": SECRET},
        {"_start": SECRET},
        {"_sort": "title", "_order": SECRET},
        {"after": SECRET},
        {"q": f"{SECRET}\0"},
        {"nope": SECRET},
    ],
)
def test_refused_parameter_is_not_echoed(as_admin: TestClient, asked: dict[str, str]) -> None:
    response = as_admin.get(ITEMS, params=asked)

    assert response.status_code == 422
    assert not holds(response.text, SECRET)


def test_unreadable_json_is_not_echoed(as_admin: TestClient) -> None:
    response = as_admin.post(ITEMS, content=f'{{"password": "{SECRET}"', headers=JSON)

    assert response.status_code == 400
    assert not holds(response.text, SECRET)


@pytest.mark.parametrize(
    "form",
    [
        {"username": SECRET},
        {"username": "ann", "password": SECRET * 20},
        {"username": "ann", "password": SECRET, "grant_type": "nope"},
        {"username": "ann", "password": SECRET, "nope": SECRET},
    ],
)
def test_refused_login_is_not_echoed(anonymous: TestClient, form: dict[str, str]) -> None:
    response = anonymous.post(LOGIN, data=form)

    assert response.status_code == 422
    assert_error(response, 422, "INVALID_REQUEST", *response.json()["errors"])
    assert not holds(response.text, SECRET)


# --- Crashes, by routes of the test's own in an application of its own.


class BrokenMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/crash/middleware":
            raise RuntimeError(SECRET)
        await self.app(scope, receive, send)


def add_crashes(router: Router) -> None:
    @router.get("/sync")
    def crash_sync() -> None:
        raise RuntimeError(SECRET)

    @router.get("/async")
    async def crash_async() -> None:
        raise RuntimeError(SECRET)

    @router.get("/value")
    def crash_value() -> None:
        raise ValueError(SECRET)

    @router.get("/database")
    def crash_database(db: DbSession) -> None:
        db.execute(text("SELECT nothing FROM users WHERE email = :x"), {"x": SECRET})

    @router.get("/response", response_model=list[int])
    def crash_response() -> Any:
        return {"secret": SECRET}


def add_refusals(router: Router) -> None:
    @router.get("/teapot")
    def refuse_teapot() -> None:
        raise HTTPException(418, detail=SECRET)

    @router.get("/unavailable")
    def refuse_unavailable() -> None:
        raise HTTPException(503, detail=SECRET, headers={"Retry-After": "7"})

    @router.get("/response-of-its-own")
    def refuse_by_response() -> Response:
        return PlainTextResponse(SECRET, 503, {"Retry-After": "7", "X-Own": SECRET})

    @router.get("/domain")
    def refuse_domain() -> None:
        raise NotFoundError

    @router.post("/changed-meanwhile/{item_id}")
    def change_what_was_changed(item_id: int, db: DbSession) -> None:
        item = db.get_one(Item, item_id)
        db.execute(text("UPDATE items SET version = version + 1"))
        item.title = SECRET
        db.flush()

    @router.post("/form")
    def read_form(value: Annotated[int, Form()]) -> int:
        return value


@pytest.fixture(scope="module")
def crashing_app(database: None) -> FastAPI:
    app = create_app()
    app.add_middleware(BrokenMiddleware)
    router = Router(prefix="/crash")
    add_crashes(router)
    add_refusals(router)
    app.include_router(router)
    return app


@pytest.fixture
def crashing(crashing_app: FastAPI, anonymous: TestClient) -> TestClient:
    client = TestClient(crashing_app)
    client.portal = anonymous.portal
    return client


CRASHES = ["sync", "async", "value", "database", "response", "middleware"]


@pytest.mark.parametrize("crash", CRASHES)
def test_crash_answers_an_error_that_tells_nothing(crashing: TestClient, crash: str) -> None:
    response = crashing.get(f"/crash/{crash}")

    assert_error(response, 500, "INTERNAL_ERROR")
    for leak in (SECRET, "Traceback", "SELECT", "psycopg2", "sqlite", ".py", "Error("):
        assert not holds(response.text, leak)


def test_crash_leaves_the_application_running(crashing: TestClient, as_user: TestClient) -> None:
    crashing.headers.update(as_user.headers)

    for crash in CRASHES * 3:  # More often than there are threads or connections.
        crashing.get(f"/crash/{crash}")

    assert crashing.get("/health").status_code == 200
    assert crashing.get(ITEMS).status_code == 200


@pytest.mark.parametrize("crash", CRASHES)
def test_crash_is_logged_with_the_request_id_of_the_answer(
    crashing: TestClient, caplog: pytest.LogCaptureFixture, crash: str
) -> None:
    response = crashing.get(f"/crash/{crash}", headers={"X-Request-ID": "the-client's-own"})

    events: list[Any] = [r.msg for r in caplog.records if r.levelno >= logging.ERROR]
    assert [event["request_id"] for event in events] == [response.json()["request_id"]]
    assert events[0]["client_request_id"] == "the-client's-own"


def test_crash_without_a_body_is_still_head(crashing: TestClient) -> None:
    response = crashing.head("/crash/sync")

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"


def test_refusal_of_the_framework_loses_its_own_words(crashing: TestClient) -> None:
    teapot = crashing.get("/crash/teapot")
    unavailable = crashing.get("/crash/unavailable")

    assert (teapot.status_code, unavailable.status_code) == (418, 503)
    assert_error(unavailable, 503, "UNAVAILABLE")
    assert unavailable.headers["retry-after"] == "7"
    assert not holds(teapot.text + unavailable.text, SECRET)


def test_refusal_that_brings_no_error_body_is_given_one(crashing: TestClient) -> None:
    response = crashing.get("/crash/response-of-its-own")

    assert_error(response, 503, "UNAVAILABLE")
    assert response.headers["retry-after"] == "7"
    assert not holds(response.text + str(response.headers), SECRET)


def test_refusal_of_the_domain_has_its_own_code(crashing: TestClient) -> None:
    response = crashing.get("/crash/domain")

    assert_error(response, 404, "NOT_FOUND")


def test_change_of_a_row_that_others_changed_meanwhile_is_a_conflict(
    crashing: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user, title="Lamp")

    response = crashing.post(f"/crash/changed-meanwhile/{item.id}")

    assert_error(response, 409, "LOCKED")
    db.refresh(item)
    assert (item.title, item.version) == ("Lamp", 1)


def test_unreadable_form_is_not_called_json(crashing: TestClient) -> None:
    response = crashing.post(
        "/crash/form",
        content=b"garbage",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )

    assert response.status_code == 400
    assert not holds(response.text, "json")


def test_crash_of_the_database_logs_no_values(
    caplog: pytest.LogCaptureFixture, database: None
) -> None:
    """PostgreSQL's own words about a constraint hold the whole row."""
    app = create_app()
    values = {"email": "ann@example.com", "username": None, "hashed_password": SECRET}

    @app.post("/crash")
    def crash(db: DbSession) -> None:
        db.add(User(**values))
        db.flush()

    logging.getLogger().addHandler(caplog.handler)
    response = TestClient(app).post("/crash")

    assert_error(response, 500, "INTERNAL_ERROR")
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    assert SECRET not in caplog.text


# --- Databases that are gone, busy or slow.


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["nobody listens", "a folder for a file", "a file for a folder"])
def gone(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that cannot be reached."""
    (tmp_path / "file").write_text("no folder")
    return {
        "nobody listens": f"postgresql://nobody:{SECRET}@127.0.0.1:{unused_port()}/none",
        "a folder for a file": f"sqlite:///{tmp_path}",
        "a file for a folder": f"sqlite:///{tmp_path}/file/x.db",
    }[str(request.param)]


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", ITEMS), ("GET", f"{USERS}me"), ("POST", ITEMS), ("DELETE", f"{ITEMS}1")],
)
def test_database_gone_is_unavailable(
    as_user: TestClient, gone: str, method: str, url: str
) -> None:
    with changed_settings(DATABASE_URL=gone):
        response = as_user.request(method, url, headers=JSON)

    assert_error(response, 503, "DATABASE_UNAVAILABLE")
    assert int(response.headers["retry-after"]) >= 1
    assert not holds(response.text, SECRET)


def test_login_is_unavailable_while_the_database_is_gone(anonymous: TestClient, gone: str) -> None:
    with changed_settings(DATABASE_URL=gone):
        response = anonymous.post(LOGIN, data={"username": "ann", "password": "x"})

    assert_error(response, 503, "DATABASE_UNAVAILABLE")


def test_health_tells_life_and_readiness_apart_while_the_database_is_gone(
    anonymous: TestClient, gone: str
) -> None:
    with changed_settings(DATABASE_URL=gone):
        alive = anonymous.get("/health")
        ready = anonymous.get("/health/ready")

    assert alive.status_code == 200
    assert alive.json() == {"status": "healthy"}
    assert_error(ready, 503, "DATABASE_UNAVAILABLE")
    assert "database" in ready.json()["detail"]
    assert int(ready.headers["retry-after"]) >= 1


@contextmanager
def held_by_another() -> Iterator[None]:
    """Hold the lock that a writer of items needs, from a connection of another kind."""
    with get_engine().execution_options(isolation_level="AUTOCOMMIT").connect() as other:
        is_sqlite = other.dialect.name == "sqlite"
        other.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
        if not is_sqlite:
            other.exec_driver_sql("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        yield
        other.exec_driver_sql("ROLLBACK")


def test_write_that_waits_too_long_for_a_lock_is_refused_and_undone(
    as_user: TestClient, db: Session, user: User
) -> None:
    impatient = {"DB_POOL_TIMEOUT_SECONDS": "0.1", "STATEMENT_TIMEOUT_SECONDS": "0.2"}
    with changed_settings(**impatient):
        with held_by_another():
            refused = as_user.post(ITEMS, json={"title": "Lamp"})
        later = as_user.post(ITEMS, json={"title": "Lamp"})

    if POSTGRESQL is None:
        assert_error(refused, 503, "DATABASE_UNAVAILABLE")  # Its one lock is the whole database.
        assert int(refused.headers["retry-after"]) >= 1
    else:
        assert_error(refused, 409, "LOCKED")
    assert later.status_code == 201
    assert as_user.get(ITEMS).headers["x-total-count"] == "1"


def test_read_and_write_do_not_wait_for_each_other(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user, title="Lamp")

    with get_engine().execution_options(isolation_level="AUTOCOMMIT").connect() as other:
        other.exec_driver_sql("BEGIN")
        other.execute(select(Item.title)).all()
        written = as_user.patch(f"{ITEMS}{item.id}", json={"title": "Shelf"})
        other.exec_driver_sql("ROLLBACK")
    with get_engine().connect() as other:
        other.execute(update(Item).values(title="not committed"))
        read = as_user.get(f"{ITEMS}{item.id}")

    assert (written.status_code, read.json()["title"]) == (200, "Shelf")


@pytest.mark.postgresql
def test_statement_that_takes_too_long_is_unavailable(db: Session) -> None:
    with changed_settings(STATEMENT_TIMEOUT_SECONDS="0.1"):
        app = create_app()

        @app.get("/slow")
        def be_slow(db: DbSession) -> None:
            db.execute(text("SELECT pg_sleep(30)"))

        response = TestClient(app).get("/slow")

    assert_error(response, 503, "STATEMENT_TIMEOUT")
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.postgresql
def test_read_after_the_database_has_ended_its_connections_is_served_again(
    as_user: TestClient, db: Session
) -> None:
    as_user.get(ITEMS)
    db.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
            "datname = current_database() AND pid <> pg_backend_pid()"
        )
    )

    answers = [as_user.get(ITEMS) for _ in range(get_settings().DB_POOL_SIZE + 1)]

    for answer in answers:
        if answer.status_code != 200:
            assert_error(answer, 503, "DATABASE_UNAVAILABLE")
    assert answers[-1].status_code == 200
