"""How refusals stand in the OpenAPI document."""

from typing import Any, Final

from app.api.answers import PAGE_HEADERS
from app.schemas.base import Schema
from app.schemas.problem import ChangedProblem, Problem

MEANINGS: Final = {
    400: "The body is not readable.",
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


def problem(status: int) -> dict[str, Any]:
    model = ChangedProblem if status == 412 else Problem
    return {"model": model, "description": MEANINGS[status]}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: problem(status) for status in statuses}


LIST_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "headers": {
            name: {"schema": {"type": "string"}, "description": text}
            for name, text in PAGE_HEADERS.items()
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
