"""One record: found by its id, written in one statement, and never over a version not seen.

Records are read and written as their public schema's columns, at a third of what an entity costs.
Events of the audit are written in another statement.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app.core.clock import utc_now
from app.core.errors import ChangedMeanwhileError, ConflictError
from app.core.permissions import Principal, Scope
from app.crud import audit as crud_audit
from app.crud.conditions import values_of
from app.crud.listing import Listing, Record
from app.db.prepared import Prepared
from app.db.writing import insert_row, update_row
from app.models.audit_event import AuditEvent
from app.models.mixins import AuditedRecord, SoftDeleteMixin, in_reach

Entity = TypeVar("Entity", bound=AuditedRecord)

STATEMENTS: Final = 100  # That are kept.
# Changes that are older than so many others are history.
MOST_EVENTS: Final = 1000
# What an event says without naming a field.
_FIELDS: Final = {
    "delete": ("deleted",),
    "restore": ("deleted",),
    "password_changed": ("password",),
}


class NotDeletedError(ConflictError):
    code = "NOT_DELETED"
    text = "This is not in the trash: there is nothing to restore."


def get_record(
    db: Session,
    listing: Listing[Any],
    *,
    record_id: int,
    actor: Principal,
    in_trash: bool = False,
    is_locked: bool = False,
    expected: Collection[int] | None = None,
) -> Record:
    """Find the record, `in_trash` too. Lock it where it is to be changed, so that what is compared
    is what is changed: its version with those that the client has seen.

    Raises the listing's `missing`, ChangedMeanwhileError.
    """
    statement = _statement(listing, actor.scope, in_trash=in_trash, is_locked=is_locked)
    record = statement.first(db, {**values_of(actor), "record_id": record_id})
    if record is None:
        raise listing.missing
    if expected is not None:
        _refuse_changed(db, listing.model, record_id, record["version"], expected)
    return record


@lru_cache(maxsize=STATEMENTS)
def _statement(listing: Listing[Any], scope: Scope, *, in_trash: bool, is_locked: bool) -> Prepared:
    is_it = listing.columns["id"] == bindparam("record_id")
    wanted = listing.select.where(is_it, listing.scopes[scope])
    if is_locked:
        wanted = wanted.with_for_update(key_share=True)
    return Prepared(in_reach(wanted, deleted=in_trash))


def lock_record(
    db: Session,
    listing: Listing[Entity],
    *,
    record_id: int,
    actor: Principal,
    in_trash: bool = False,
    for_good: bool = False,
    expected: Collection[int] | None = None,
) -> Entity:
    """Lock the entity. With `for_good`, also block new references to it.

    Raises the listing's `missing`, what its `refuse_unwritable` raises, ChangedMeanwhileError.
    """
    wanted = select(listing.model).where(listing.model.id == record_id, listing.visible_to(actor))
    locked = wanted.with_for_update(key_share=not for_good)
    row = db.scalar(locked.execution_options(include_deleted=in_trash))
    if row is None:
        raise listing.missing
    if listing.refuse_unwritable is not None:  # Or the versions would tell what has changed.
        listing.refuse_unwritable(row, actor)
    _refuse_changed(db, listing.model, record_id, row.version, expected)
    return row


def insert_record(db: Session, listing: Listing[Entity], *, values: Mapping[str, Any]) -> Record:
    """Raises IntegrityError."""
    model, now = listing.model, utc_now()
    stamped = {**values, "created_at": now, "updated_at": now, "version": 1}
    record = insert_row(db, model=model, values=stamped, returned=tuple(listing.columns))
    event = crud_audit.creation(db, model, record_id=record["id"], values=stamped)
    crud_audit.write_events(db, [event])
    return record


def update_record(
    db: Session, listing: Listing[Entity], *, record: Record, changes: Mapping[str, Any]
) -> Record:
    """Return the locked record as it is with the changes; what changes nothing is not written.

    Raises IntegrityError.
    """
    told = {name: [record[name], new] for name, new in changes.items() if record[name] != new}
    if not told:
        return record
    model, version = listing.model, record["version"] + 1
    stamped = {name: new for name, (_, new) in told.items()}
    stamped |= {"updated_at": utc_now(), "version": version}
    changed = update_row(
        db,
        model=model,
        row_id=record["id"],
        version=record["version"],
        changes=stamped,
        returned=tuple(listing.columns),
    )
    if changed is None:
        raise StaleDataError
    event = crud_audit.change(db, model, record_id=record["id"], changes=told, version=version)
    crud_audit.write_events(db, [event] if event is not None else [])
    return changed


def take_out(record: SoftDeleteMixin) -> None:
    """Take it out of the trash. Raises NotDeletedError."""
    if record.deleted_at is None:
        raise NotDeletedError
    record.deleted_at = None


def refuse_outdated(
    db: Session, model: type[AuditedRecord], record: Record, *, seen: int | None
) -> None:
    """Compare the locked record with the version in a body. Raises ChangedMeanwhileError."""
    if seen is not None:
        _refuse_changed(db, model, record["id"], record["version"], {seen})


def _refuse_changed(
    db: Session,
    model: type[AuditedRecord],
    record_id: int,
    version: int,
    expected: Collection[int] | None,
) -> None:
    """Compare the locked row with the versions that the client has seen; None takes any.

    Raises ChangedMeanwhileError, which tells of each field who has changed it last since then.
    """
    if expected is None or version in expected:
        return
    seen = max(expected, default=version)
    changes = _changes_since(db, model, record_id, seen) if seen < version else ()
    raise ChangedMeanwhileError(changes)


def _changes_since(
    db: Session, model: type[AuditedRecord], record_id: int, version: int
) -> list[dict[str, Any]]:
    events = db.execute(
        select(AuditEvent.action, AuditEvent.changes, AuditEvent.actor_email, AuditEvent.at)
        .where(
            AuditEvent.resource_type == model.audited_as,
            AuditEvent.resource_id == record_id,
            AuditEvent.version > version,
        )
        .order_by(AuditEvent.id.desc())
        .limit(MOST_EVENTS)
    )
    latest: dict[str, dict[str, Any]] = {}
    for event in events:
        for field in _fields_of(event):
            latest.setdefault(field, {"field": field, "by": event.actor_email, "at": event.at})
    return list(latest.values())


def _fields_of(event: Row[Any]) -> Iterable[str]:
    return [*_FIELDS.get(event.action, ()), *sorted(event.changes)]
