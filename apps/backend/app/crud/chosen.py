"""Change, delete and restore many records in one request: which they are, locked, and named where
they are refused.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, and_, func, select, true
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import DomainError
from app.core.permissions import Principal
from app.crud.listing import Listing, Record, matching
from app.crud.records import NotDeletedError
from app.crud.refusals import Refusals
from app.models.mixins import AuditedRecord
from app.schemas.base import MAX_BULK, InvalidValuesError, UpdateSchema
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


@dataclass(frozen=True, eq=False)
class Resource(Generic[Row]):
    """How to change many records of a resource at once."""

    listing: Listing[Row]
    # Changes each of the chosen rows to the values under its id, `deleted_at` among them, or none.
    # Raises what single changes raise, or BulkRefusedError, for rows refused for several reasons.
    change: Callable[..., None]


def update_records(
    db: Session,
    resource: Resource[Row],
    *,
    choice: Choice,
    changes: UpdateSchema,
    actor: Principal,
) -> Sequence[Record]:
    """Raises TooManyRowsError, InvalidValuesError, and what the resource's `change` raises."""
    if changes.is_empty:
        raise InvalidValuesError({"changes": "Name at least one field to change."})
    chosen = _lock_chosen(db, resource, choice, actor)
    refused: dict[str, str] = {}
    for record in [vars(row) for row in chosen.rows] or [{}]:
        refused |= changes.refused_for(record)
    if refused:
        raise InvalidValuesError({f"changes.{name}": text for name, text in refused.items()})
    return _give_all(db, resource, chosen, changes.changes(), actor)


def delete_records(
    db: Session, resource: Resource[Row], *, choice: Choice, actor: Principal
) -> Sequence[Record]:
    """Delete softly. Raises TooManyRowsError, and what the resource's `change` raises."""
    chosen = _lock_chosen(db, resource, choice, actor)
    return _give_all(db, resource, chosen, {"deleted_at": utc_now()}, actor)


def restore_records(
    db: Session, resource: Resource[Row], *, choice: Choice, actor: Principal
) -> Sequence[Record]:
    """Raises TooManyRowsError, NotDeletedError, and what the resource's `change` raises."""
    chosen = _lock_chosen(db, resource, choice, actor, in_trash=True)
    return _give_all(db, resource, chosen, {"deleted_at": None}, actor)


def _give_all(
    db: Session,
    resource: Resource[Row],
    chosen: Chosen[Row],
    values: Mapping[str, Any],
    actor: Principal,
) -> Sequence[Record]:
    resource.change(db, chosen=chosen, changes=dict.fromkeys(chosen.ids, values), actor=actor)
    return get_records(db, listing=resource.listing, ids=chosen.ids)


def _lock_chosen(
    db: Session,
    resource: Resource[Row],
    choice: Choice,
    actor: Principal,
    *,
    in_trash: bool = False,
) -> Chosen[Row]:
    """Lock the rows in the order of their ids, so that two requests never wait in a circle.

    Ids that lead to no row, or `in_trash` to one that is not there, are noted among the refusals,
    which whoever changes the rows raises. Raises TooManyRowsError.
    """
    listing, query = resource.listing, choice.query
    model = listing.model
    wanted: ColumnElement[bool] = model.id.in_(choice.ids)
    if query is not None:
        in_place = model.deleted_at.is_not(None) if in_trash else true()
        wanted = and_(matching(listing, query), in_place)
    statement = select(model).where(listing.visible_to(actor), wanted)
    statement = statement.execution_options(include_deleted=in_trash)
    some = statement.order_by(model.id).limit(MAX_BULK + 1)
    rows = db.scalars(some.with_for_update(key_share=True)).all()
    if len(rows) > MAX_BULK:
        count = statement.with_only_columns(func.count(), maintain_column_froms=True)
        raise TooManyRowsError(count=db.scalar(count) or 0, field="filter")
    if query is not None:
        return Chosen(rows, Refusals(under=model.audited_as), {row.id: row.id for row in rows})
    refusals, found = Refusals(under="ids"), {row.id: row for row in rows}
    for index, one in enumerate(choice.ids):
        if one not in found:
            refusals.add(index, listing.missing())
        elif in_trash and found[one].deleted_at is None:
            refusals.add(index, NotDeletedError())
    places = {one: index for index, one in enumerate(choice.ids)}
    return Chosen([found[one] for one in places if one in found], refusals, places)


def get_records(db: Session, *, listing: Listing[Any], ids: Sequence[int]) -> Sequence[Record]:
    """Return the records of these rows, deleted ones too, in this order."""
    statement = listing.select.where(listing.columns["id"].in_(ids))
    rows = db.execute(statement.execution_options(include_deleted=True)).mappings()
    records = {row["id"]: row for row in rows}
    return [records[one] for one in ids]
