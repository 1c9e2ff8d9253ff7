"""Lists: filter, search, sort, page. From statement to statement, for every resource alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Integer,
    RowMapping,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.config import get_settings
from app.core.errors import NotFoundError
from app.core.permissions import Principal
from app.crud.conditions import NotKept, RowScopes, condition_of, is_nullable, seen_by
from app.crud.counting import Counting, Total, count_rows, estimate_total, give_up_in_time
from app.crud.cursor import CursorUnsupportedSortError, has_cursor, make_cursor, read_cursor
from app.crud.list_shape import ESCAPE, Shape, take_apart
from app.db.base import Base
from app.db.folding import twins_of
from app.db.prepared import Prepared, with_values
from app.models.mixins import SoftDeleteMixin, in_reach
from app.schemas.base import Schema
from app.schemas.listing import ListQuery, SortNeedsFilterError

SHAPES: Final = 200  # Whose statements are kept.

Model = TypeVar("Model", bound=Base)
Record = Mapping[str, Any] | RowMapping


def public_columns(
    model: type[Base], schema: type[Schema]
) -> dict[str, InstrumentedAttribute[Any]]:
    """Return the model's columns that the public schema shows, by name."""
    return {name: getattr(model, name) for name in schema.model_fields}


@dataclass(frozen=True, eq=False)
class Listing(Generic[Model]):
    """What reading a resource takes: its columns, which of them `q` searches, who sees which rows.

    Texts are compared folded; for equality only those of the fields in `alike`. Reading a record by
    its id, and exports, need `scopes`.
    """

    model: type[Model]
    columns: Mapping[str, InstrumentedAttribute[Any]]
    searched: tuple[str, ...]
    alike: frozenset[str] = frozenset()
    scopes: RowScopes = field(default_factory=dict)
    missing: type[NotFoundError] = NotFoundError
    refuse_unwritable: Callable[[Any, Principal], None] | None = None  # Of rows that one sees.
    exported_as: str = ""  # In the audit.
    importable: Select[*tuple[Any, ...]] | None = None  # The columns that an import takes.

    def visible_to(self, actor: Principal) -> ColumnElement[bool]:
        return seen_by(actor, self.scopes)

    @cached_property
    def select(self) -> Select[Any]:
        return select(*self.columns.values())

    @cached_property
    def keys(self) -> Mapping[str, InstrumentedAttribute[Any]]:
        """What each column is compared and sorted by: the folded one, where it has one."""
        folded = {name: getattr(self.model, one.name) for name, one in twins_of(self.model).items()}
        return {**self.columns, **folded}

    @cached_property
    def nullable(self) -> frozenset[str]:
        return frozenset(name for name, column in self.columns.items() if is_nullable(column))

    def conditions(self, shape: Shape) -> list[ColumnElement[bool]]:
        conditions = []
        for wanted in shape.filters:
            key = self.keys[wanted.field]
            column = key if wanted.field in self.alike else self.columns[wanted.field]
            conditions.append(condition_of(column, key, wanted))
        if shape.is_long:
            conditions.append(literal_column("1 = 1", NotKept()))
        if shape.deleted and issubclass(self.model, SoftDeleteMixin):
            conditions.append(self.model.deleted_at.is_not(None))
        for place in range(shape.words):
            word = bindparam(f"q{place}", type_=String)
            keys = (self.keys[name] for name in self.searched)
            conditions.append(or_(*(key.contains(word, escape=ESCAPE) for key in keys)))
        return conditions


@dataclass(frozen=True, slots=True)
class Page:
    """`total` is None where the client pages by cursor and has not asked to count."""

    records: Sequence[Record]
    total: Total | None
    next_cursor: str | None


def get_page(
    db: Session,
    *,
    listing: Listing[Any],
    query: ListQuery,
    scope: ColumnElement[bool],
    values: Mapping[str, Any] = MappingProxyType({}),
) -> Page:
    """Read the asked page of the rows in `scope`, and count them where it does not tell the total.

    The scope is one object for all requests; `values` are those of its parameters.
    Raises InvalidCursorError, CursorUnsupportedSortError and SortNeedsFilterError.
    """
    shape, asked = take_apart(query, alike=listing.alike)
    values = {**values, **asked}
    table, continues = listing.model.__tablename__, has_cursor(query, nullable=listing.nullable)
    if query.after is not None:
        if not continues:
            raise CursorUnsupportedSortError
        values |= read_cursor(table, query)
    rows, total = _read(db, listing, scope, shape, values, query.unindexed)
    records = rows[: query.limit]
    has_more = continues and len(rows) > query.limit

    return Page(
        records=records,
        total=total,
        next_cursor=make_cursor(table, query, records[-1], keys=listing.keys) if has_more else None,
    )


def matching(listing: Listing[Any], query: ListQuery) -> ColumnElement[bool]:
    """What a row must be like for the list to show it, wherever the page stands."""
    shape, values = take_apart(query, alike=listing.alike)
    return with_values(and_(true(), *listing.conditions(shape)), values)


def select_whole(
    columns: Select[Any], *, listing: Listing[Any], query: ListQuery, scope: ColumnElement[bool]
) -> Select[Any]:
    """Select of all that the list would page through, in its order."""
    order = _order(listing, take_apart(query, alike=listing.alike)[0])
    statement = columns.where(scope, matching(listing, query)).order_by(*order)
    return statement.execution_options(include_deleted=query.deleted)


def _read(
    db: Session,
    listing: Listing[Any],
    scope: ColumnElement[bool],
    shape: Shape,
    values: Mapping[str, Any],
    unindexed: tuple[str, str] | None,
) -> tuple[list[dict[str, Any]], Total | None]:
    """Read one row more than the page has, and the total; few rows are counted along with them."""
    page_of: Callable[..., Prepared] = _page
    counting_of: Callable[..., Counting] = _counting
    if shape.is_long:  # Not to be kept.
        page_of, counting_of = _page.__wrapped__, _counting.__wrapped__
    page = page_of(listing, scope, shape)
    if unindexed is not None:  # Each page sorts all of the rows: first count them.
        most = get_settings().MAX_UNINDEXED_SORT
        counting = counting_of(listing, scope, shape.without_place(), most)
        if (counted := counting.to_bound.scalar(db, values)) > most:
            raise SortNeedsFilterError(*unindexed)
        return page.all(db, values), None if shape.is_after else Total(counted)
    if shape.is_after:
        return page.all(db, values), None
    bound = get_settings().MAX_EXACT_TOTAL
    counting = counting_of(listing, scope, shape.without_place(), bound)
    if shape.is_plain and scope is not true():
        both = _page_and_count(listing, scope, shape, bound)
        with give_up_in_time() as options:
            rows, counted = both.all_and_last(db, values, **options)
            if counted is None or counted <= bound:
                return rows, Total(counted or 0)
            return rows, estimate_total(db, counting, values, at_least=counted)
        rows = page.all(db, values)  # Counting took too long.
        return rows, estimate_total(db, counting, values, at_least=len(rows))
    rows = page.all(db, values)
    return rows, _total(db, counting, values, len(rows))


@lru_cache(maxsize=SHAPES)
def _page_and_count(
    listing: Listing[Any], scope: ColumnElement[bool], shape: Shape, bound: int
) -> Prepared:
    matching = _matching(listing, scope, shape).limit(literal_column(str(bound + 1)))
    counted = select(func.count()).select_from(matching.subquery()).scalar_subquery()
    page = _select_page(listing, scope, shape).add_columns(counted)
    return Prepared(in_reach(page, deleted=shape.deleted), has_one_plan=False)


@lru_cache(maxsize=SHAPES)
def _page(listing: Listing[Any], scope: ColumnElement[bool], shape: Shape) -> Prepared:
    # Some owners have ten rows, some a million; where all are read, none is told from another.
    has_one_plan = shape.is_plain and scope is true()
    page = _select_page(listing, scope, shape)
    return Prepared(in_reach(page, deleted=shape.deleted), has_one_plan=has_one_plan)


def _select_page(listing: Listing[Any], scope: ColumnElement[bool], shape: Shape) -> Select[Any]:
    """Select the rows of the page, and one more, which tells whether there are others."""
    wanted = and_(scope, *listing.conditions(shape))
    order = _order(listing, shape)
    # A cursor holds what is compared. The answer's model shows only what is public.
    keys = (listing.keys[key.field] for key in shape.sort)
    page = listing.select.add_columns(*(key for key in keys if key.key not in listing.columns))
    if shape.is_after:
        wanted = and_(wanted, _after(listing, shape))
    if not shape.is_deep:
        return _cut(page.where(wanted).order_by(*order), shape)
    # An index alone tells which rows to skip; none of them is read.
    key = listing.columns["id"]
    ids = _cut(select(key).where(wanted).order_by(*order), shape)
    return page.where(key.in_(ids)).order_by(*order)


def _cut(statement: Select[Any], shape: Shape) -> Select[Any]:
    limit: ColumnElement[int] = bindparam("limit", type_=Integer)
    if shape.is_plain:  # What is prepared is planned for its limit.
        limit = literal_column(str(shape.limit + 1))
    statement = statement.limit(limit)
    return statement.offset(bindparam("skip", type_=Integer)) if shape.skips else statement


def _order(listing: Listing[Any], shape: Shape) -> list[ColumnElement[Any]]:
    order: list[ColumnElement[Any]] = []
    for key in shape.sort:
        column = listing.keys[key.field]
        directed = column.desc() if key.descending else column.asc()
        order.append(directed.nulls_last() if key.field in listing.nullable else directed)
    return order


def _after(listing: Listing[Any], shape: Shape) -> ColumnElement[bool]:
    columns = [listing.keys[key.field] for key in shape.sort]
    here = tuple_(*columns)
    last = tuple_(
        *(bindparam(f"after{place}", type_=one.type) for place, one in enumerate(columns))
    )
    return here < last if shape.sort[0].descending else here > last


def _total(db: Session, counting: Counting, values: Mapping[str, Any], seen: int) -> Total:
    """Count only where the page itself does not tell: it is neither the last one nor past it."""
    skip = values.get("skip", 0)
    is_last = seen < values["limit"] and (seen > 0 or skip == 0)
    if is_last:
        return Total(skip + seen)
    # Where the page is past the end, the database has gone through all rows, and may do so again.
    total = count_rows(db, counting, values, to_end=seen == 0)
    if not total.is_estimated:
        return total
    # Whatever is estimated, the page has seen so many rows, or the end of them.
    count = max(total.count, skip + seen) if seen else min(total.count, skip)
    return Total(count, is_estimated=True)


@lru_cache(maxsize=SHAPES)
def _counting(
    listing: Listing[Any], scope: ColumnElement[bool], shape: Shape, bound: int
) -> Counting:
    rows = _matching(listing, scope, shape)
    return Counting(
        rows,
        deleted=shape.deleted,
        bound=bound,
        has_one_plan=shape.is_plain,
        same_rows=shape.is_plain and scope is true(),
    )


def _matching(listing: Listing[Any], scope: ColumnElement[bool], shape: Shape) -> Select[Any]:
    wanted = and_(scope, *listing.conditions(shape))
    return select(literal_column("1")).select_from(listing.model).where(wanted)
