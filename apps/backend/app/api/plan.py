"""A route's tree of dependencies, laid out once as the list of steps that a thread takes.

FastAPI walks the tree anew for each request, with a coroutine for each node. What a node asks for,
how that is validated, in which order the nodes run and what goes into the answer stay FastAPI's:
its own functions read the parameters and the body, and its own errors come out.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import attrgetter
from typing import Any

from fastapi import BackgroundTasks, Request, Response
from fastapi._compat import ModelField
from fastapi.dependencies.models import (
    Dependant,
    _get_cache_key,
    _get_oauth_scopes,
    _is_async_gen_callable,
    _is_coroutine_callable,
    _is_gen_callable,
)
from fastapi.dependencies.utils import (
    _get_param_aliases,
    _get_param_model,
    request_body_to_args,
    request_params_to_args,
)
from fastapi.exceptions import RequestValidationError
from fastapi.security import SecurityScopes
from pydantic_core import PydanticUndefined
from starlette.exceptions import HTTPException

from app.api.media_type import is_json


class UnplannableError(TypeError):
    """A node needs the event loop, which a sync route does not wait for."""


@dataclass(slots=True)
class Progress:
    """What a request has come to."""

    request: Request
    body: Any
    stack: ExitStack
    results: list[Any] = field(default_factory=list)  # Of each step; None of those that failed.
    errors: dict[int, list[Any]] = field(default_factory=dict)  # Of the steps that failed.
    response: Response | None = None  # Whose headers and status go into the answer.
    background: BackgroundTasks | None = None

    def give_response(self) -> Response:
        if self.response is None:
            self.response = Response()
            del self.response.headers["content-length"]
            self.response.status_code = None  # type: ignore[assignment]  # As in FastAPI.
        return self.response

    def give_background(self) -> BackgroundTasks:
        self.background = self.background or BackgroundTasks()
        return self.background


class Parameters:
    """The parameters that a node reads from one place, such as the headers."""

    def __init__(self, place: str, fields: Sequence[ModelField]) -> None:
        self.place = place
        self.fields = fields
        self.may_be_absent = all(_is_optional(one) for one in fields)
        self._defaults: list[tuple[str, Any]] = [
            (one.name, one.field_info.default_factory or partial(deepcopy, one.default))
            for one in fields
        ]

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(key for one in self.fields for _, key in _get_param_aliases(one))

    def read(self, request: Request) -> tuple[dict[str, Any], list[Any]]:
        if self.may_be_absent and not self._is_any_given(request):
            return {name: give() for name, give in self._defaults}, []
        return request_params_to_args(self.fields, getattr(request, self.place))

    def _is_any_given(self, request: Request) -> bool:
        if self.place == "query_params" and not request.scope["query_string"]:
            return False
        given = getattr(request, self.place)
        return any(key in given for key in self.keys)


def _is_optional(one: ModelField) -> bool:
    info = one.field_info
    return _get_param_model(one) is None and not info.is_required() and not info.validate_default


@dataclass(frozen=True, slots=True)
class Step:
    """One node: what it calls, and where its arguments come from."""

    call: Callable[..., Any]  # Takes the progress and the arguments.
    after: Sequence[int]  # The steps that it needs to have succeeded.
    results: Sequence[tuple[str, int]]  # Arguments that are results of such steps.
    parameters: Sequence[Parameters]
    body_fields: list[ModelField]
    embeds_body: bool
    others: Sequence[tuple[str, Callable[[Progress], Any]]]

    def arguments(self, progress: Progress) -> tuple[dict[str, Any], list[Any]]:
        values = {name: progress.results[number] for name, number in self.results}
        errors = []
        if progress.errors:
            errors = [one for number in self.after for one in progress.errors.get(number, ())]
        for parameters in self.parameters:
            found, wrong = parameters.read(progress.request)
            values |= found
            errors += wrong
        if self.body_fields:
            found, wrong = _run(
                request_body_to_args(self.body_fields, progress.body, self.embeds_body)
            )
            values |= found
            errors += wrong
        for name, give in self.others:
            values[name] = give(progress)
        return values, errors


def lay_out(dependant: Dependant, *, embeds_body: bool) -> list[Step]:
    """Return the steps in the order in which FastAPI would call the nodes; the last is the
    endpoint itself. Raises UnplannableError.
    """
    steps: list[Step] = []
    numbers: dict[Any, int] = {}  # Of the nodes whose results FastAPI would find in its cache.

    def add(node: Dependant) -> int:
        before = [(child.name, _number_of(child)) for child in node.dependencies]
        steps.append(_step_of(node, before, embeds_body=embeds_body))
        return len(steps) - 1

    def _number_of(node: Dependant) -> int:
        key = _get_cache_key(dependant=node)
        if node.use_cache and key in numbers:
            return numbers[key]
        number = add(node)
        numbers.setdefault(key, number)
        return number

    add(dependant)
    return steps


def _step_of(
    node: Dependant, before: Sequence[tuple[str | None, int]], *, embeds_body: bool
) -> Step:
    places = {
        "path_params": node.path_params,
        "query_params": node.query_params,
        "headers": node.header_params,
        "cookies": node.cookie_params,
    }
    return Step(
        call=_caller_of(node),
        after=[number for _, number in before],
        results=[(name, number) for name, number in before if name is not None],
        parameters=[Parameters(place, fields) for place, fields in places.items() if fields],
        body_fields=node.body_params,
        embeds_body=embeds_body,
        others=list(_others_of(node)),
    )


def _others_of(node: Dependant) -> Iterator[tuple[str, Callable[[Progress], Any]]]:
    scopes = SecurityScopes(_get_oauth_scopes(dependant=node))
    for name, give in (
        (node.http_connection_param_name, attrgetter("request")),
        (node.request_param_name, attrgetter("request")),
        (node.background_tasks_param_name, Progress.give_background),
        (node.response_param_name, Progress.give_response),
        (node.security_scopes_param_name, lambda _progress: deepcopy(scopes)),
    ):
        if name is not None:
            yield name, give


def _caller_of(node: Dependant) -> Callable[..., Any]:
    call: Any = node.call
    if _is_async_gen_callable(call):
        raise UnplannableError(f"{call} is an async generator; a sync route cannot wait for it")
    if node.concurrency is not None:
        raise UnplannableError(f"{call} has a bound of its own; here the threads are the bound")
    if _is_gen_callable(call):
        manager = contextmanager(call)
        return lambda progress, values: progress.stack.enter_context(manager(**values))
    if _is_coroutine_callable(call):
        return lambda _progress, values: _run(call(**values))
    return lambda _progress, values: call(**values)


def _run(coroutine: Any) -> Any:
    """Return what a coroutine comes to that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    raise RuntimeError("A dependency of a sync route awaited something. Make the endpoint async.")


def take(steps: Sequence[Step], progress: Progress) -> Any:
    """Return what the endpoint returns. Raises RequestValidationError, and whatever a node does."""
    errors: list[Any] = []
    for number, step in enumerate(steps):
        values, errors = step.arguments(progress)
        if errors:
            progress.errors[number] = errors
            progress.results.append(None)
        else:
            progress.results.append(step.call(progress, values))
    if errors:
        body = None if progress.body is PydanticUndefined else progress.body
        raise RequestValidationError(errors, body=body)
    return progress.results[-1]


def read_json(body: bytes, *, content_type: str | None, is_strict: bool) -> Any:
    """Return the body, parsed where it says that it is JSON. Raises RequestValidationError,
    HTTPException.
    """
    if not body:
        return PydanticUndefined
    if not (is_json(content_type) if content_type else not is_strict):
        return body
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise RequestValidationError(
            [
                {
                    "type": "json_invalid",
                    "loc": ("body", error.pos),
                    "msg": "JSON decode error",
                    "input": {},
                    "ctx": {"error": error.msg},
                }
            ],
            body=error.doc,
        ) from error
    except Exception as error:
        raise HTTPException(400, "There was an error parsing the body") from error
