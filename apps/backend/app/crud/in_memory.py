"""A list of a few records that no table holds, for the same questions as all others."""

import operator
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from app.core.text import fold, text_key
from app.crud.counting import Total
from app.crud.cursor import InvalidCursorError
from app.crud.list_shape import sort_keys
from app.crud.listing import Page, Record
from app.schemas.listing import COMPARISONS, Filter, ListQuery, SortKey


def get_page_of(records: Iterable[Record], *, query: ListQuery, searched: Sequence[str]) -> Page:
    """Raises InvalidCursorError: such a list gives no cursors."""
    if query.after is not None:
        raise InvalidCursorError
    words = fold(query.q or "").split()
    found = [
        record
        for record in records
        if all(_passes(record[one.field], one) for one in query.filters)
        and all(any(word in fold(record[name]) for name in searched) for word in words)
    ]
    for key in reversed(sort_keys(query.sort)):
        found.sort(key=partial(_place, key), reverse=key.descending)
    page = found[query.skip : query.skip + query.limit]
    return Page(records=page, total=Total(len(found)), next_cursor=None)


def _place(key: SortKey, record: Record) -> tuple[bool, Any]:
    """Empty values come last in both directions."""
    value = record[key.field]
    return (value is None) != key.descending, _compared(value)


def _compared(value: Any) -> Any:
    return text_key(value) if isinstance(value, str) else value


def _passes(value: Any, wanted: Filter) -> bool:
    match wanted.operator:
        case "eq" | "ne":
            return (value in wanted.values) == (wanted.operator == "eq")
        case "within" | "outside":
            spans = zip(wanted.values[::2], wanted.values[1::2], strict=True)
            return any(_is_in(value, *span) for span in spans) == (wanted.operator == "within")
    compare = COMPARISONS.get(wanted.operator, operator.contains)
    bounds = map(_compared, wanted.values)
    return value is not None and any(compare(_compared(value), bound) for bound in bounds)


def _is_in(value: Any, first: Any, last: Any) -> bool:
    return value is first if None in (value, first) else first <= value <= last
