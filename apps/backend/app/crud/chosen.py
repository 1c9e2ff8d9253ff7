"""The rows that a request of many is about: found, locked, and named where they are refused."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, func, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import DomainError, NotFoundError
from app.crud.listing import Listing, Record, matching
from app.crud.refusals import Refusals
from app.crud.trash import NotDeletedError
from app.models.mixins import AuditedRecord
from app.schemas.base import MAX_BULK
from app.schemas.bulk import Choice, TooManyRowsError

Row = TypeVar("Row", bound=AuditedRecord)


@dataclass(frozen=True, slots=True)
class Chosen(Generic[Row]):
    """Locked rows in the order in which they were asked for. `places` says under which number
    the refusals know a row: its index among the ids, or its id where it was found otherwise.
    """

    rows: Sequence[Row]
    refusals: Refusals
    places: Mapping[int, int]

    @property
    def ids(self) -> Sequence[int]:
        return [row.id for row in self.rows]

    def of_row(self, row: Row) -> AbstractContextManager[None]:
        return self.refusals.of_row(self.places[row.id])

    def refuse(self, row: Row, error: DomainError) -> None:
        self.refusals.add(self.places[row.id], error)


def lock_chosen(
    db: Session,
    *,
    model: type[Row],
    listing: Listing,
    choice: Choice,
    scope: ColumnElement[bool],
    missing: type[NotFoundError],
    in_trash: bool = False,
) -> Chosen[Row]:
    """Lock the rows in the order of their ids, so that two requests never wait in a circle.

    Ids that lead to no row, or `in_trash` to one that is not there, are noted among the refusals,
    which whoever changes the rows raises. Raises TooManyRowsError.
    """
    wanted: ColumnElement[bool] = model.id.in_(choice.ids)
    if choice.query is not None:
        in_place = model.deleted_at.is_not(None) if in_trash else true()
        wanted = and_(matching(listing, choice.query), in_place)
    statement = select(model).where(scope, wanted).execution_options(include_deleted=in_trash)
    rows = _lock(db, statement, order=model.id)
    if choice.query is not None:
        return _by_filter(model, rows)
    chosen = _by_id(rows, choice.ids, missing)
    if in_trash:
        _refuse_present(chosen)
    return chosen


def _lock(
    db: Session, statement: Select[Row], *, order: InstrumentedAttribute[int]
) -> Sequence[Row]:
    """Raises TooManyRowsError."""
    some = statement.order_by(order).limit(MAX_BULK + 1)
    rows = db.scalars(some.with_for_update(key_share=True)).all()
    if len(rows) > MAX_BULK:
        count = statement.with_only_columns(func.count(), maintain_column_froms=True)
        raise TooManyRowsError(count=db.scalar(count) or 0, field="filter")
    return rows


def _by_filter(model: type[Row], rows: Sequence[Row]) -> Chosen[Row]:
    return Chosen(rows, Refusals(under=model.audited_as), {row.id: row.id for row in rows})


def _by_id(rows: Sequence[Row], ids: Sequence[int], missing: type[NotFoundError]) -> Chosen[Row]:
    refusals = Refusals(under="ids")
    found = {row.id: row for row in rows}
    for index, one in enumerate(ids):
        if one not in found:
            refusals.add(index, missing())
    places = {one: index for index, one in enumerate(ids)}
    return Chosen([found[one] for one in ids if one in found], refusals, places)


def _refuse_present(chosen: Chosen[Row]) -> None:
    for row in chosen.rows:
        if row.deleted_at is None:
            chosen.refuse(row, NotDeletedError())


def get_records(db: Session, *, listing: Listing, ids: Sequence[int]) -> Sequence[Record]:
    """Return the records of these rows, deleted ones too, in this order."""
    statement = listing.select.where(listing.columns["id"].in_(ids))
    rows = db.execute(statement.execution_options(include_deleted=True)).mappings()
    records = {row["id"]: row for row in rows}
    return [records[one] for one in ids]
