"""Many rows in a handful of statements, and audited as single ones are.

`Session.add` and attributes of entities cost a statement per row where versions are counted; these
functions write with Core, and write the events beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, case, literal, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.crud import audit as crud_audit
from app.crud.batch import in_batches
from app.db.folding import with_folded
from app.db.writing import draw_ids, load_rows
from app.models.mixins import AuditedRecord

Row = TypeVar("Row", bound=AuditedRecord)
Changes = Mapping[int, Mapping[str, Any]]  # The new values, by the id of the row.

# Of rows whose new values differ: SQLite takes some 32 000 values in a statement.
DIFFERENT_AT_ONCE: Final = 500


def insert_rows(
    db: Session, *, model: type[AuditedRecord], rows: Sequence[Mapping[str, Any]]
) -> Sequence[int]:
    """Insert the rows, all with the same keys, and return their ids in the same order.

    Raises IntegrityError.
    """
    if not rows:
        return []
    ids = draw_ids(db, model=model, count=len(rows))
    now = utc_now()
    new: dict[str, Any] = {"created_at": now, "updated_at": now, "version": 1}
    whole = [{**new, **row, "id": record_id} for record_id, row in zip(ids, rows, strict=True)]
    load_rows(db, model=model, rows=whole)
    events = [
        crud_audit.creation(db, model, record_id=record_id, values=row)
        for record_id, row in zip(ids, rows, strict=True)
    ]
    crud_audit.write_events(db, events)
    return ids


def update_rows(db: Session, *, model: type[Row], rows: Sequence[Row], changes: Changes) -> None:
    """Change locked rows, each to the values under its id; one that holds them already stays.

    The entities are stale afterwards. Raises IntegrityError.
    """
    real = {row.id: differences(row, changes.get(row.id, {})) for row in rows}
    changed = [row for row in rows if real[row.id]]
    written = {row.id: with_folded(model, changes[row.id]) for row in changed}
    for ids, values in _statements(model, list(written), written):
        db.execute(
            update(model)
            .where(model.id.in_(ids))
            .values(version=model.version + 1, updated_at=utc_now(), **values)
            .execution_options(synchronize_session=False, include_deleted=True)
        )
    events = [_event(db, row, real[row.id]) for row in changed]
    crud_audit.write_events(db, [event for event in events if event is not None])


def differences(row: AuditedRecord, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if getattr(row, name) != value}


def _event(db: Session, row: AuditedRecord, values: Mapping[str, Any]) -> dict[str, Any] | None:
    changes = {name: [getattr(row, name), value] for name, value in values.items()}
    return crud_audit.change(
        db, type(row), record_id=row.id, changes=changes, version=row.version + 1
    )


def _statements(
    model: type[AuditedRecord], ids: Sequence[int], changes: Changes
) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
    """One statement for rows that all get the same; one for some hundreds of different ones."""
    if len(ids) > 0 and all(changes[one] == changes[ids[0]] for one in ids):
        yield ids, dict(changes[ids[0]])
        return
    for some in in_batches(ids, size=DIFFERENT_AT_ONCE):
        names = sorted({name for one in some for name in changes[one]})
        yield some, {name: _by_id(model, name, some, changes) for name in names}


def _by_id(
    model: type[AuditedRecord], name: str, ids: Sequence[int], changes: Changes
) -> ColumnElement[Any]:
    column = getattr(model, name)
    values = {one: literal(changes[one][name], column.type) for one in ids if name in changes[one]}
    return case(values, value=model.id, else_=column)
