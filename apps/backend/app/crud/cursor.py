"""Cursors: they name the last row of a page, so that the next one costs the same at any depth."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json, to_json

from app.core.errors import InvalidInputError
from app.core.security import is_signed, sign
from app.crud.list_shape import sort_keys
from app.schemas.listing import ListQuery

PURPOSE: Final = "list-cursor"
SIGNATURE_BYTES: Final = 16


class InvalidCursorError(InvalidInputError):
    code = "INVALID_CURSOR"
    text = "This page belongs to another sort or filter. Begin again with the first page."
    field = "after"


class CursorUnsupportedSortError(InvalidInputError):
    code = "CURSOR_UNSUPPORTED_SORT"
    text = (
        "Pages of this sort have no cursors: it mixes directions, or sorts by a field that may be "
        "empty. Ask for them with skip and limit."
    )
    field = "after"


def has_cursor(query: ListQuery, *, nullable: Iterable[str]) -> bool:
    keys = sort_keys(query.sort)
    is_one_way = len({key.descending for key in keys}) == 1
    return is_one_way and {key.field for key in keys}.isdisjoint(nullable)


def make_cursor(
    table: str, query: ListQuery, last: Mapping[str, Any], *, keys: Mapping[str, Any]
) -> str:
    """Name the last row of a page by its sort values, signed together with sort and filter."""
    values = to_json([_to_json(last[keys[one.field].key]) for one in sort_keys(query.sort)])
    signature = sign(_signed_part(table, query, values), purpose=PURPOSE)
    return base64.urlsafe_b64encode(signature + values).decode()


def read_cursor(table: str, query: ListQuery) -> dict[str, Any]:
    """Return the sort values by the names of their parameters. Raises InvalidCursorError."""
    try:
        raw = base64.urlsafe_b64decode((query.after or "").encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidCursorError from None
    signature, values = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
    if not is_signed(_signed_part(table, query, values), signature, purpose=PURPOSE):
        raise InvalidCursorError
    return {f"after{place}": _from_json(value) for place, value in enumerate(from_json(values))}


def _signed_part(table: str, query: ListQuery, values: bytes) -> bytes:
    asked = (table, query.filters, query.q, query.sort, query.deleted)
    return repr(asked).encode() + b"\0" + values


def _to_json(value: Any) -> Any:
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def _from_json(value: Any) -> Any:
    return datetime.fromisoformat(value["at"]) if isinstance(value, dict) else value
