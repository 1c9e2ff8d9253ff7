"""A route class that handles a request in one visit to a worker thread.

FastAPI sends each sync dependency, each teardown, the endpoint and the validation of the answer
to a thread of their own choosing: five visits for an authenticated read, with a database
connection held between them. Here the event loop reads the body, and then one worker thread does
all the rest. The threads are as many as the connections of the pool, so that no request waits
for a connection.
"""

import re
from collections import Counter
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar, Final

from fastapi import FastAPI, Request, Response, params
from fastapi._compat import field_annotation_is_sequence
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import (
    Dependant,
    _is_async_gen_callable,
    _is_coroutine_callable,
    _is_gen_callable,
)
from fastapi.dependencies.utils import _get_flat_fields_from_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, _effective_route_context_var, iter_route_contexts
from starlette._utils import get_route_path
from starlette.datastructures import FormData
from starlette.routing import Match
from starlette.types import Scope

from app.api.limits import AddressLimit, sharer_of
from app.api.media_type import refuse_other_media_type
from app.api.plan import Progress, lay_out, read_json, take
from app.api.serialization import serializer_of
from app.api.suggestions import suggest
from app.api.threads import Threads, run_in_time
from app.core.config import get_settings

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
LastAct = Callable[[Response], Response]

# They change nothing, so that one whose connection was lost may run again.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_last_acts: Final[ContextVar[list[LastAct]]] = ContextVar("last_acts")


def before_commit(act: LastAct) -> None:
    """Have this done with the finished answer, before the transaction ends. It returns what is
    answered. Raises LookupError outside a visit: under `dependency_overrides`, say.
    """
    _last_acts.get().append(act)


class OneVisitRoute(APIRoute):
    executor: ClassVar[str] = "threads"  # In the application's state.
    time_limit: ClassVar[str] = "REQUEST_TIMEOUT_SECONDS"  # Of the settings.

    async def read_body(self, request: Request, *, is_form: bool) -> bytes | FormData:
        """Raises UnsupportedMediaTypeError."""
        await refuse_other_media_type(request, is_form=is_form)
        return await (request.form() if is_form else request.body())

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take no word of another route's path for an id: `/users/import` names no user."""
        match, child_scope = super().matches(scope)
        is_others = child_scope.get("path_params") and is_fixed(scope)
        return (Match.NONE, {}) if is_others else (match, child_scope)

    def get_route_handler(self) -> Handler:
        stock: Handler = super().get_route_handler()
        context = _effective_route_context_var.get()
        route: Any = context if context is not None and context.original_route is self else self
        route.path_regex = _with_either_slash(route.path_regex)
        return self.handler_of(route, stock=stock) or stock

    def handler_of(self, route: Any, *, stock: Handler | None = None) -> Handler | None:
        """Return what handles a request in one visit; None where the route has to wait. While
        dependencies are overridden, `stock` does.
        """
        call = route.dependant.call
        waits = (
            _is_coroutine_callable(call) or _is_gen_callable(call) or _is_async_gen_callable(call)
        )
        if route.is_sse_stream or route.is_json_stream or waits:
            return None
        return _one_visit_handler(route, self, stock)


def _with_either_slash(path: re.Pattern[str]) -> re.Pattern[str]:
    """Accept the path with and without a trailing slash, without a redirect."""
    bare = path.pattern.removesuffix("$").removesuffix("/?").removesuffix("/")
    return re.compile(f"{bare}/?$")


def fixed_paths(app: FastAPI) -> frozenset[str]:
    """Return the paths without parameters, bare of a slash at the end."""
    paths = (str(context.path) for context in iter_route_contexts(app.routes))
    return frozenset(path.removesuffix("/") for path in paths if "{" not in path)


def is_fixed(scope: Scope) -> bool:
    known: Container[str] = getattr(scope["app"].state, "fixed_paths", ())
    return get_route_path(scope).removesuffix("/") in known


class HashingRoute(OneVisitRoute):
    """Anyone may have these routes hash a password; they keep to threads of their own."""

    executor = "hashing_threads"


class LongRoute(OneVisitRoute):
    """What may take minutes keeps to threads of its own, too."""

    executor = "import_threads"
    time_limit = "IMPORT_TIMEOUT_SECONDS"


def _one_visit_handler(route: Any, visited: OneVisitRoute, stock: Handler | None) -> Handler:
    overrides = route.dependency_overrides_provider
    has_body = route.body_field is not None
    is_form = has_body and isinstance(route.body_field.field_info, params.Form)
    known_names = _query_names(route.dependant)
    limits = [c.call for c in route.dependant.dependencies if isinstance(c.call, AddressLimit)]
    visit = _visit_of(route, has_json=has_body and not is_form)

    async def handle(request: Request) -> Response:
        settings, whose = get_settings(), sharer_of(request)
        if limits:  # Ahead of the body: unreadable ones count too. Redis may make a thread wait.
            counting = partial(_count, limits, request)
            seconds = settings.REQUEST_TIMEOUT_SECONDS
            threads: Threads = request.app.state.threads
            await run_in_time(threads, counting, seconds=seconds, whose=whose)
        if known_names is not None and request.scope["query_string"]:
            _refuse_unknown_parameters(request, known_names)
        body: Any = None
        if has_body:
            body = await visited.read_body(request, is_form=is_form)
        elif request.method not in SAFE_METHODS:
            await request.body()  # A dependency may look at it, and must not wait for it.
        if stock is not None and overrides and overrides.dependency_overrides:
            return await stock(request)
        try:
            return await run_in_time(
                getattr(request.app.state, visited.executor),
                partial(visit, request, body),
                seconds=getattr(settings, visited.time_limit),
                whose=whose,
                is_read=request.method in SAFE_METHODS,
            )
        finally:
            if is_form:
                await request.close()

    return handle


def _count(limits: Iterable[AddressLimit], request: Request) -> None:
    for limit in limits:
        limit(request)


def _visit_of(route: Any, *, has_json: bool) -> Callable[[Request, Any], Response]:
    """Raises UnplannableError."""
    steps = lay_out(route.dependant, embeds_body=route._embed_body_fields)  # noqa: SLF001  FastAPI has no other name for it.
    serialize = serializer_of(route)
    strict = route.strict_content_type
    is_strict = strict.value if isinstance(strict, DefaultPlaceholder) else strict

    def visit(request: Request, body: Any) -> Response:
        if has_json:
            content_type = request.headers.get("content-type")
            body = read_json(body, content_type=content_type, is_strict=is_strict)
        with ExitStack() as stack:
            acts: list[LastAct] = []
            _last_acts.set(acts)
            progress = Progress(request, body, stack)
            response = serialize(take(steps, progress), progress)
            for act in acts:
                response = act(response)
            return response
        raise RuntimeError("A dependency with yield swallowed an exception: there is no answer.")

    return visit


def _query_names(dependant: Dependant) -> Mapping[str, bool] | None:
    """Name the declared query parameters, and whether each may be repeated; None where a list reads
    its own.
    """
    if any(getattr(child.call, "reads_query", False) for child in dependant.dependencies):
        return None
    fields = _query_fields_of_tree(dependant)
    return {
        field.alias: field_annotation_is_sequence(field.field_info.annotation) for field in fields
    }


def _query_fields_of_tree(dependant: Dependant) -> Iterator[Any]:
    yield from _get_flat_fields_from_params(dependant.query_params)
    for child in dependant.dependencies:
        yield from _query_fields_of_tree(child)


def _refuse_unknown_parameters(request: Request, known: Mapping[str, bool]) -> None:
    """A misspelt `dry_run` must not be taken for the real thing, nor one that is taken back."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    texts = suggest("Unknown parameter.", sorted(given.keys() - known.keys()), known)
    repeated = (name for name, count in given.items() if count > 1)
    texts |= {name: "Must be given only once." for name in repeated if known.get(name) is False}
    if texts:
        raise RequestValidationError(
            [
                {"type": "parameter", "loc": ("query", name), "msg": text}
                for name, text in sorted(texts.items())
            ]
        )
