"""How refusals stand in the OpenAPI document."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from app.api.answers import PAGE_HEADERS
from app.api.error_handlers import status_of
from app.core.errors import DomainError
from app.schemas.base import Schema
from app.schemas.problem import ChangedProblem, Problem

MEANINGS: Final = {
    400: "The request is not readable.",
    401: "Not signed in, or no longer.",
    403: "Your role does not permit this.",
    404: "Not there, or not yours to see.",
    409: "This conflicts with what is stored.",
    412: "Changed since the version that you named; `changes` tells by whom.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "Some fields or parameters are not valid.",
    429: "Too many requests; `Retry-After` tells when to try again.",
    500: "A fault of the server; the request id names it.",
    503: "Overloaded, or the database is gone; `Retry-After` tells when to try again.",
}

# An error stands beside the rule that raises it, so its module tells which operations it refuses:
# those of a kind, and with `crud/item….py` those of the tag `items`.
MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "": (
        "core.errors",
        "core.security",
        "db.",
        "middleware.",
        "api.deps",
        "api.media_type",
        "api.threads",
    ),
    "Write": ("api.cookies",),
    "List": ("crud.cursor", "schemas.listing"),
    "Keyed": ("crud.idempotency_key",),
    "Series": ("crud.buckets",),
    "Consumption": ("crud.quota",),
    "Token": ("core.errors",),
    # The others are in the path.
    "Bulk": ("crud.refusals", "schemas.bulk"),
    "Export": ("core.workbook", "crud.export_file", "schemas.listing", "api.streaming"),
    "Import": ("core.record_file", "crud.importing", "crud.refusals", "api.imports", "api.uploads"),
    "Login": ("crud.auth", "api.cookies"),
    "Password": ("crud.user",),
    "Ready": ("core.rate_limit", "api.routes.health"),
    "Refresh": ("crud.session", "api.cookies"),
    "Register": ("crud.account", "crud.user_policy"),
    "Restore": ("crud.records",),
    "Revert": ("crud.revert", "crud.refusals", "crud.user", "crud.item"),
    "Sessions": ("crud.session",),
}
# What is refused ahead of the rules has no error class.
BARE: Final[Mapping[int, list[str]]] = {
    400: ["BAD_REQUEST", "HOST_NOT_ALLOWED", "INVALID_JSON"],
    413: ["BODY_TOO_LARGE"],
    500: ["INTERNAL_ERROR"],
}


def _errors(family: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    for error in family.__subclasses__():
        yield error
        yield from _errors(error)


@cache
def codes_of(status: int, modules: tuple[str, ...]) -> list[str]:
    places = tuple(f"app.{module}" for module in modules)
    found = (one for one in _errors() if one.__module__.startswith(places))
    return [one.code for one in found if status_of(one) == status]


def problem(status: int) -> dict[str, Any]:
    model = ChangedProblem if status == 412 else Problem
    return {"model": model, "description": MEANINGS[status]}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: problem(status) for status in statuses}


LIST_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "headers": {
            name: {"schema": {"type": kind}, "description": text}
            for name, (kind, text) in PAGE_HEADERS.items()
        }
    }
}

_LOCATION: Final = {"Location": {"schema": {"type": "string"}, "description": "The record."}}
_TAG: Final = {
    "ETag": {"schema": {"type": "string"}, "description": "The version, for `If-Match`."}
}
CREATE_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {201: {"headers": _LOCATION}}

# Of records with versions.
CREATE_RECORD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {201: {"headers": _LOCATION | _TAG}}
RECORD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {200: {"headers": _TAG}}
READ_RECORD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = RECORD_ANSWERS | {
    304: {"headers": _TAG, "description": "You have it as it is: `If-None-Match` names its tag."}
}


def delete_answers(schema: type[Schema]) -> dict[int | str, dict[str, Any]]:
    """With `Prefer: return=representation` the record comes back."""
    return {200: {"model": schema, "description": "The record that was deleted, where preferred."}}
