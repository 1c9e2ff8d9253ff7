"""Lists: filter, search, sort, page. From statement to statement, for every resource alike."""

import base64
import binascii
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    and_,
    false,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import InvalidInputError
from app.core.security import is_signed, sign
from app.crud.counting import Total, count_rows
from app.db.base import Base
from app.models.mixins import SoftDeleteMixin
from app.schemas.base import Schema
from app.schemas.listing import Filter, ListQuery, Operator, SortKey

CURSOR: Final = "list-cursor"
DEEP: Final = 1000  # An offset that is worth a statement of its own kind.

Record = Mapping[str, Any] | RowMapping

_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "like": lambda column, value: column.icontains(value, autoescape=True),
}


class InvalidCursorError(InvalidInputError):
    code = "INVALID_CURSOR"
    text = "This cursor was not made by this list with this sort and filter."
    field = "after"


class CursorUnsupportedSortError(InvalidInputError):
    code = "CURSOR_UNSUPPORTED_SORT"
    text = "This sort has no cursor: it mixes directions, or sorts by a field that may be empty."
    field = "after"


def public_columns(
    model: type[Base], schema: type[Schema]
) -> dict[str, InstrumentedAttribute[Any]]:
    """Return the model's columns that the public schema shows, by name."""
    return {name: getattr(model, name) for name in schema.model_fields}


@dataclass(frozen=True)
class Listing:
    """What the list of one resource offers: its columns, and which of them `q` searches.

    Values compared with the columns in `lower_cased` are lowered first, as the stored ones are.
    """

    model: type[Base]
    columns: Mapping[str, InstrumentedAttribute[Any]]
    searched: tuple[InstrumentedAttribute[Any], ...]
    lower_cased: frozenset[str] = frozenset()

    @cached_property
    def select(self) -> Select[Any]:
        return select(*self.columns.values())

    def is_nullable(self, field: str) -> bool:
        return bool(self.columns[field].property.columns[0].nullable)


@dataclass(frozen=True, slots=True)
class Page:
    """`total` is None where the client pages by cursor and has not asked to count."""

    records: Sequence[Record]
    total: Total | None
    next_cursor: str | None


def get_page(
    db: Session, *, listing: Listing, query: ListQuery, scope: ColumnElement[bool]
) -> Page:
    """Read the asked page of the rows in `scope`, and count them where it does not tell the total.

    Raises InvalidCursorError and CursorUnsupportedSortError.
    """
    wanted = and_(scope, *_conditions(listing, query))
    rows = db.execute(_page(listing, query, wanted), execution_options=_reach(query)).all()
    has_more = len(rows) > query.limit
    records = [dict(zip(listing.columns, row, strict=True)) for row in rows[: query.limit]]

    return Page(
        records=records,
        total=None if query.after else _total(db, listing, wanted, query, len(rows)),
        next_cursor=_cursor(listing, query, records[-1]) if has_more else None,
    )


def matching(listing: Listing, query: ListQuery) -> ColumnElement[bool]:
    """What a row must be like for the list to show it, wherever the page stands."""
    return and_(true(), *_conditions(listing, query))


def _page(listing: Listing, query: ListQuery, wanted: ColumnElement[bool]) -> Select[Any]:
    """Select the rows of the page, and one more, which tells whether there are others."""
    order = _order(listing, query)
    if query.after is not None:
        wanted = and_(wanted, _after(listing, query))
    skip = 0 if query.after is not None else query.skip
    if skip < DEEP:
        page = listing.select.where(wanted).order_by(*order)
        return page.offset(skip).limit(query.limit + 1)
    # An index alone tells which rows to skip; none of them is read.
    key = listing.columns["id"]
    ids = select(key).where(wanted).order_by(*order).offset(skip).limit(query.limit + 1)
    return listing.select.where(key.in_(ids)).order_by(*order)


def select_whole(
    columns: Select[Any], *, listing: Listing, query: ListQuery, scope: ColumnElement[bool]
) -> Select[Any]:
    """Select of all that the list would page through, in its order."""
    wanted = and_(scope, *_conditions(listing, query))
    statement = columns.where(wanted).order_by(*_order(listing, query))
    return statement.execution_options(**_reach(query))


def _total(
    db: Session, listing: Listing, wanted: ColumnElement[bool], query: ListQuery, seen: int
) -> Total:
    """Count only where the page itself does not tell: it is neither the last one nor past it."""
    is_last = seen <= query.limit and (seen > 0 or query.skip == 0)
    if is_last:
        return Total(query.skip + seen)
    matching: Select[Any] = select(literal_column("1")).select_from(listing.model).where(wanted)
    total = count_rows(db, matching.execution_options(**_reach(query)))
    if not total.is_estimated:
        return total
    # Whatever is estimated, the page has seen so many rows, or the end of them.
    count = max(total.count, query.skip + seen) if seen else min(total.count, query.skip)
    return Total(count, is_estimated=True)


def _reach(query: ListQuery) -> dict[str, bool]:
    return {"include_deleted": query.deleted}


def _conditions(listing: Listing, query: ListQuery) -> list[ColumnElement[bool]]:
    conditions = [_condition(listing, wanted) for wanted in query.filters]
    if query.deleted and issubclass(listing.model, SoftDeleteMixin):
        conditions.append(listing.model.deleted_at.is_not(None))
    if query.q:
        matches = (column.icontains(query.q, autoescape=True) for column in listing.searched)
        conditions.append(or_(*matches))
    return conditions


def _condition(listing: Listing, wanted: Filter) -> ColumnElement[bool]:
    column = listing.columns[wanted.field]
    values = wanted.values
    if wanted.field in listing.lower_cased:
        values = tuple(value and value.lower() for value in values)

    if wanted.operator in {"eq", "ne"}:
        present = [value for value in values if value is not None]
        among: ColumnElement[bool] = column.in_(present) if present else false()
        if None in values:
            among = or_(among, column.is_(None))
        elif wanted.operator == "ne" and listing.is_nullable(wanted.field):
            among = and_(among, column.is_not(None))  # So that "not x" keeps the empty ones.
        return among if wanted.operator == "eq" else ~among
    compare = _COMPARISONS[wanted.operator]
    matches = (compare(column, value) for value in values if value is not None)
    return or_(false(), *matches)


def _sort_keys(query: ListQuery) -> tuple[SortKey, ...]:
    """End with the id, so that no two rows are equal: the page would not be stable."""
    if any(key.field == "id" for key in query.sort):
        return query.sort
    descending = bool(query.sort) and query.sort[-1].descending
    return (*query.sort, SortKey("id", descending))


def _order(listing: Listing, query: ListQuery) -> list[ColumnElement[Any]]:
    order: list[ColumnElement[Any]] = []
    for key in _sort_keys(query):
        column = listing.columns[key.field]
        directed = column.desc() if key.descending else column.asc()
        order.append(directed.nulls_last() if listing.is_nullable(key.field) else directed)
    return order


def _has_cursor(listing: Listing, keys: Sequence[SortKey]) -> bool:
    return len({key.descending for key in keys}) == 1 and not any(
        listing.is_nullable(key.field) for key in keys
    )


def _after(listing: Listing, query: ListQuery) -> ColumnElement[bool]:
    keys = _sort_keys(query)
    if not _has_cursor(listing, keys):
        raise CursorUnsupportedSortError
    columns = [listing.columns[key.field] for key in keys]
    last = tuple_(
        *(
            literal(value, column.type)
            for value, column in zip(_read_cursor(listing, query), columns, strict=True)
        )
    )
    here = tuple_(*columns)
    return here < last if keys[0].descending else here > last


def _cursor(listing: Listing, query: ListQuery, last: Record) -> str | None:
    """Name the last row of a page by its sort values, signed together with sort and filter."""
    keys = _sort_keys(query)
    if not _has_cursor(listing, keys):
        return None
    values = json.dumps([_to_json(last[key.field]) for key in keys]).encode()
    signature = sign(_signed_part(listing, query, values), purpose=CURSOR)
    return base64.urlsafe_b64encode(signature + values).decode()


def _read_cursor(listing: Listing, query: ListQuery) -> list[Any]:
    try:
        raw = base64.urlsafe_b64decode((query.after or "").encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidCursorError from None
    signature, values = raw[:16], raw[16:]
    if not is_signed(_signed_part(listing, query, values), signature, purpose=CURSOR):
        raise InvalidCursorError
    return [_from_json(value) for value in json.loads(values)]


def _signed_part(listing: Listing, query: ListQuery, values: bytes) -> bytes:
    asked = (listing.model.__tablename__, query.filters, query.q, query.sort, query.deleted)
    return repr(asked).encode() + b"\0" + values


def _to_json(value: Any) -> Any:
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def _from_json(value: Any) -> Any:
    return datetime.fromisoformat(value["at"]) if isinstance(value, dict) else value
