"""A route class that handles a request in one visit to a worker thread.

FastAPI sends each sync dependency, each teardown, the endpoint and the validation of the answer
to a thread of their own choosing: five visits for an authenticated read, with a database
connection held between them. Here the event loop reads the body, and then one worker thread does
all the rest. The threads are as many as the connections of the pool, so that no request waits
for a connection.

The work itself stays FastAPI's: its own handler is built over a copy of the dependency tree in
which every sync callable is wrapped as a coroutine function that never suspends, and the worker
drives that handler to its end in one step.
"""

import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar, Final

from fastapi import Request, Response, params
from fastapi._compat import field_annotation_is_sequence
from fastapi.dependencies.models import (
    Dependant,
    _is_async_gen_callable,
    _is_coroutine_callable,
    _is_gen_callable,
)
from fastapi.dependencies.utils import _get_flat_fields_from_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, _effective_route_context_var
from starlette.routing import Match
from starlette.types import Scope

from app.api.limits import AddressLimit
from app.api.media_type import refuse_other_media_type
from app.api.threads import run_in_time
from app.core.config import get_settings

Handler = Callable[[Request], Awaitable[Response]]
LastAct = Callable[[Response], Response]

# They change nothing, so that one whose connection was lost may run again.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# What stands in a path where others have an id, such as the `me` of `/users/me`.
WORDS: Final[set[str]] = set()

_teardown: Final[ContextVar[ExitStack]] = ContextVar("teardown")
_last_acts: Final[ContextVar[list[LastAct]]] = ContextVar("last_acts")


def before_commit(act: LastAct) -> None:
    """Have this done with the finished answer, before the transaction ends. It returns what is
    answered. Raises LookupError outside a visit: under `dependency_overrides`, say.
    """
    _last_acts.get().append(act)


class OneVisitRoute(APIRoute):
    executor: ClassVar[str] = "threads"  # In the application's state.
    time_limit: ClassVar[str] = "REQUEST_TIMEOUT_SECONDS"  # Of the settings.

    async def read_body(self, request: Request, *, is_form: bool) -> None:
        """Raises UnsupportedMediaTypeError."""
        await refuse_other_media_type(request, is_form=is_form)
        if is_form:
            await request.form()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take no word for an id: with another method, it would be refused as one that is wrong."""
        match, child_scope = super().matches(scope)
        parameters = child_scope.get("path_params", {})
        return (match, child_scope) if has_no_word(parameters) else (Match.NONE, {})

    def get_route_handler(self) -> Any:
        stock: Handler = super().get_route_handler()
        context = _effective_route_context_var.get()
        route: Any = context if context is not None and context.original_route is self else self
        if not _is_plain(route.dependant.call):
            return stock
        original = route.dependant
        route.dependant = _in_one_visit(original, {})
        try:
            inline: Handler = super().get_route_handler()
        finally:
            route.dependant = original
        return _one_visit_handler(route, self, stock, inline)


def has_no_word(parameters: Mapping[str, Any]) -> bool:
    return WORDS.isdisjoint(value for name, value in parameters.items() if name.endswith("_id"))


class HashingRoute(OneVisitRoute):
    """Anyone may have these routes hash a password; they keep to threads of their own."""

    executor = "hashing_threads"


def _one_visit_handler(
    route: Any, visited: OneVisitRoute, stock: Handler, inline: Handler
) -> Handler:
    overrides = route.dependency_overrides_provider
    has_body = route.body_field is not None
    is_form = has_body and isinstance(route.body_field.field_info, params.Form)
    known_names = _query_names(route.dependant)
    limits = [c.call for c in route.dependant.dependencies if isinstance(c.call, AddressLimit)]

    async def handle(request: Request) -> Response:
        seconds = get_settings().REQUEST_TIMEOUT_SECONDS
        if limits:  # Ahead of the body: unreadable ones count too. Redis may make a thread wait.
            counting = partial(_count, limits, request)
            await run_in_time(request.app.state.threads, counting, seconds=seconds)
        if known_names is not None:
            _refuse_unknown_parameters(request, known_names)
        if has_body:
            await visited.read_body(request, is_form=is_form)
        elif request.method == "POST":
            await request.body()  # A dependency may look at it, and must not wait for it.
        if overrides and overrides.dependency_overrides:
            return await stock(request)
        threads: ThreadPoolExecutor = getattr(request.app.state, visited.executor)
        return await run_in_time(
            threads,
            partial(_visit, inline, request),
            seconds=getattr(get_settings(), visited.time_limit),
            is_read=request.method in SAFE_METHODS,
        )

    return handle


def _count(limits: Iterable[AddressLimit], request: Request) -> None:
    for limit in limits:
        limit(request)


def _visit(handler: Handler, request: Request) -> Response:
    with ExitStack() as stack:
        _teardown.set(stack)
        _last_acts.set([])
        coroutine: Any = handler(request)
        try:
            coroutine.send(None)
        except StopIteration as finished:
            return _act_on(finished.value)
        coroutine.close()
        raise RuntimeError(
            "A dependency of a sync route awaited something. Make the endpoint async."
        )
    raise RuntimeError("A dependency with yield swallowed an exception: there is no answer.")


def _act_on(response: Response) -> Response:
    for act in _last_acts.get():
        response = act(response)
    return response


def _is_plain(call: Callable[..., Any] | None) -> bool:
    return not (
        _is_coroutine_callable(call) or _is_gen_callable(call) or _is_async_gen_callable(call)
    )


def _in_one_visit(dependant: Dependant, wrapped: dict[Any, Any]) -> Dependant:
    """Copy the tree. One callable has one wrapper, so that FastAPI still caches its result."""
    twin = copy.copy(dependant)
    twin.dependencies = [_in_one_visit(child, wrapped) for child in dependant.dependencies]
    call = dependant.call
    if call is not None and not _is_coroutine_callable(call):
        if _is_async_gen_callable(call):
            raise TypeError(f"{call} is an async generator; a sync route cannot wait for it")
        if call not in wrapped:
            wrapped[call] = _entering(call) if _is_gen_callable(call) else _calling(call)
        twin.call = wrapped[call]
    return twin


def _calling(call: Callable[..., Any]) -> Callable[..., Any]:
    async def inline(**values: Any) -> Any:
        return call(**values)

    return inline


def _entering(call: Callable[..., Iterator[Any]]) -> Callable[..., Any]:
    manager = contextmanager(call)

    async def inline(**values: Any) -> Any:
        return _teardown.get().enter_context(manager(**values))

    return inline


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
    if not request.url.query:
        return
    given = Counter(name for name, _ in request.query_params.multi_items())
    texts = dict.fromkeys(given.keys() - known.keys(), "Unknown parameter.")
    repeated = (name for name, count in given.items() if count > 1)
    texts |= {name: "Must be given only once." for name in repeated if known.get(name) is False}
    if texts:
        raise RequestValidationError(
            [
                {"type": "parameter", "loc": ("query", name), "msg": text}
                for name, text in sorted(texts.items())
            ]
        )
