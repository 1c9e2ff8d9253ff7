"""How refusals stand in the OpenAPI document."""

from typing import Any, Final

from app.api.pages import PAGE_HEADERS
from app.schemas.base import Schema
from app.schemas.problem import Problem

MEANINGS: Final = {
    400: "The body is not readable.",
    401: "Not signed in, or no longer.",
    403: "Your role does not permit this.",
    404: "Not there, or not yours to see.",
    409: "This conflicts with what is stored.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "Some fields or parameters are not valid.",
    429: "Too many requests; `Retry-After` tells when to try again.",
    500: "A fault of the server; the request id names it.",
    503: "Overloaded, or the database is gone; `Retry-After` tells when to try again.",
}


def problem(status: int) -> dict[str, Any]:
    return {"model": Problem, "description": MEANINGS[status]}


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

CREATE_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    201: {"headers": {"Location": {"schema": {"type": "string"}, "description": "The record."}}}
}


def delete_answers(schema: type[Schema]) -> dict[int | str, dict[str, Any]]:
    """With `Prefer: return=representation` the record comes back."""
    return {200: {"model": schema, "description": "The record that was deleted, where preferred."}}
