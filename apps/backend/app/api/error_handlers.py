"""The one table from families of refusals to statuses, and the translation of everybody else's."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException

from app.api.idempotency import ReplayedAnswer
from app.api.limits import ANONYMOUS, count_address
from app.api.media_type import UnsupportedMediaTypeError
from app.api.one_visit import is_fixed
from app.api.suggestions import fields_of, suggest
from app.api.threads import run_in_time
from app.api.wording import TEXTS, text_of
from app.core import errors
from app.core.config import get_settings
from app.db.integrity import LockedError, cause_of, domain_error, without_values
from app.middleware.answer_headers import STANDINGS
from app.middleware.problem import problem_response
from app.schemas.base import MAX_BULK
from app.schemas.problem import ChangedProblem

Handler = Callable[[Request, Exception], Awaitable[Response]]

STATUSES: Final[Mapping[type[errors.DomainError], int]] = {
    errors.SpentTokenError: 400,
    errors.NotAuthenticatedError: 401,
    errors.PermissionDeniedError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.ChangedMeanwhileError: 412,
    UnsupportedMediaTypeError: 415,
    errors.InvalidInputError: 422,
    errors.TooManyRequestsError: 429,
    errors.UnavailableError: 503,
}
HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": "2"},
}
INVALID_JSON: Final = ("INVALID_JSON", "The request body is not readable JSON.")
INVALID_REQUEST: Final = ("INVALID_REQUEST", "Some fields are not valid.")
_NAME: Final = re.compile(r"[\w.]{1,100}", re.ASCII)  # Of a field, with the way to it.
NO_OBJECT: Final = "The request body must be a JSON object."

log = structlog.get_logger("backdesk.error")


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(errors.DomainError, _refusal)
    app.add_exception_handler(UnsupportedMediaTypeError, _counted(_refusal))
    app.add_exception_handler(RequestValidationError, _counted(_malformed))
    app.add_exception_handler(400, _counted(_framework_refusal))
    app.add_exception_handler(HTTPException, _framework_refusal)
    app.add_exception_handler(OSError, _storage_fault)
    app.add_exception_handler(DBAPIError, _database_fault)
    app.add_exception_handler(PoolTimeoutError, _database_fault)
    app.add_exception_handler(StaleDataError, _changed_meanwhile)
    app.add_exception_handler(ReplayedAnswer, _replay)


def status_of(error: type[errors.DomainError]) -> int:
    return next(STATUSES[family] for family in error.__mro__ if family in STATUSES)


async def _refusal(request: Request, error: Exception) -> Response:
    error = cast("errors.DomainError", error)
    status = status_of(type(error))
    headers = HEADERS.get(status)
    more: dict[str, Any] = {}
    if isinstance(error, errors.TooManyRequestsError):
        headers = {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.ChangedMeanwhileError):
        more = {"schema": ChangedProblem, "changes": error.changes}
    return problem_response(
        request.scope,
        status,
        code=error.code,
        detail=error.detail,
        fields=error.fields,
        headers=headers,
        **more,
    )


def _counted(answer: Handler) -> Handler:
    """Have what is refused before anybody has asked who it is from count for its address."""

    async def count_and_answer(request: Request, error: Exception) -> Response:
        counting = partial(count_address, request, ANONYMOUS)
        seconds = get_settings().REQUEST_TIMEOUT_SECONDS
        try:
            if not request.scope["state"].get(STANDINGS):
                await run_in_time(request.app.state.threads, counting, seconds=seconds)
        except errors.DomainError as refusal:
            return await _refusal(request, refusal)
        return await answer(request, error)

    return count_and_answer


async def _malformed(request: Request, error: Exception) -> Response:
    error = cast("RequestValidationError", error)
    found: Sequence[Any] = error.errors()[:MAX_BULK]  # One of each record in a request.
    if any((one["type"], one["loc"]) == ("missing", ("body",)) for one in found):
        _, lacking = request.scope["route"].body_field.validate({}, loc=("body",))
        found = lacking or found  # What there is to be in a body says more than that it is empty.
    if any(one["type"] == "json_invalid" for one in found):
        code, detail = INVALID_JSON
        return problem_response(request.scope, 400, code=code, detail=detail)
    code, detail = INVALID_REQUEST
    fields = {}
    names = [one["loc"][-1] for one in found if one["type"] == "extra_forbidden"]
    body = request.scope["route"].body_field.field_info.annotation if names else None
    unknowns = suggest("Unknown field.", names, fields_of(body))
    for one in reversed(found):
        is_unknown = one["type"] == "extra_forbidden"
        text = unknowns[one["loc"][-1]] if is_unknown else text_of(one)
        if len(one["loc"]) > 1:
            fields[_field_path(one["loc"])] = text
        else:
            detail = NO_OBJECT if one["type"] in TEXTS else text
    are_told = all(map(_NAME.fullmatch, fields))  # Else what was sent as a name is input.
    if len(fields) == 1:
        ((field, text),) = fields.items()  # What panels show; more than one stand at the fields.
        detail = f"{field}: {text}" if are_told else text
    elif are_told and 1 < len(fields) <= 10:
        detail = f"Some fields are not valid: {', '.join(reversed(fields))}."
    return problem_response(request.scope, 422, code=code, detail=detail, fields=fields)


async def _framework_refusal(request: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    if error.status_code == 400 and "json" in request.headers.get("content-type", ""):
        code, detail = INVALID_JSON  # FastAPI's answer to bodies that break its reader.
        return problem_response(request.scope, 400, code=code, detail=detail)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_of(request))
    return problem_response(request.scope, error.status_code, headers=headers)


def _methods_of(request: Request) -> list[str]:
    """Return every method that the path answers; the framework names those of one route only."""
    methods: set[str] = set()
    path, has_no_id = get_route_path(request.scope), is_fixed(request.scope)
    for context in iter_route_contexts(request.app.routes):
        found = context.path_regex.match(path)
        if found is not None and not (found.groupdict() and has_no_id):
            methods |= context.methods or set()
    methods = methods or {"GET"}  # Files name none.
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


async def _database_fault(request: Request, error: Exception) -> Response:
    error = cast("DBAPIError | PoolTimeoutError", error)
    refusal = domain_error(error)
    if refusal is None:
        log.error("database error", **without_values(error))
        return problem_response(request.scope, 500)
    log.warning("database fault", error=refusal.code, cause=cause_of(error))
    return await _refusal(request, refusal)


async def _storage_fault(request: Request, error: Exception) -> Response:
    if not errors.is_full(error):
        raise error
    log.warning("storage is full", cause=cause_of(error))
    return await _refusal(request, errors.StorageFullError())


async def _changed_meanwhile(request: Request, _error: Exception) -> Response:
    return await _refusal(request, LockedError())


async def _replay(_request: Request, told: Exception) -> Response:
    return cast("ReplayedAnswer", told).response


def _field_path(location: Sequence[str | int]) -> str:
    """Drop where it stood (body, query, path), keep the way to it: `items.1.email`."""
    path = ".".join(str(part) for part in location[1:])
    return path.encode("utf-8", "replace").decode()[:200]
