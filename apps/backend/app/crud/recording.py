"""One record created or changed in one statement, and noted in the audit in another.

An entity added to the session comes to the same, at three times the cost: this is for what
happens all day.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app.core.clock import utc_now
from app.crud import audit as crud_audit
from app.crud.listing import Record
from app.db.writing import insert_row, update_row
from app.models.mixins import AuditedRecord


def insert_record(
    db: Session, model: type[AuditedRecord], *, values: Mapping[str, Any], shown: Mapping[str, Any]
) -> Record:
    """Return the columns in `shown`. Raises IntegrityError."""
    now = utc_now()
    stamped = {**values, "created_at": now, "updated_at": now, "version": 1}
    record = insert_row(db, model=model, values=stamped, returned=tuple(shown))
    event = crud_audit.creation(db, model, record_id=record["id"], values=stamped)
    crud_audit.write_events(db, [event])
    return record


def update_record(
    db: Session, model: type[AuditedRecord], *, record: Record, changes: Mapping[str, Any]
) -> Record:
    """Return the locked record as it is with the changes; what changes nothing is not written.

    Raises IntegrityError.
    """
    told = {name: [record[name], new] for name, new in changes.items() if record[name] != new}
    if not told:
        return record
    version = record["version"] + 1
    stamped = {name: new for name, (_, new) in told.items()}
    stamped |= {"updated_at": utc_now(), "version": version}
    changed = update_row(
        db,
        model=model,
        row_id=record["id"],
        version=record["version"],
        changes=stamped,
        returned=list(record.keys()),
    )
    if changed is None:
        raise StaleDataError
    event = crud_audit.change(db, model, record_id=record["id"], changes=told, version=version)
    crud_audit.write_events(db, [event] if event is not None else [])
    return changed
