"""Nobody overwrites what they have not seen: a change may name the version that it is based on."""

from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from app.core.errors import ChangedMeanwhileError
from app.models.audit_event import AuditEvent
from app.models.mixins import AuditedRecord

# Changes that are older than so many others are history.
MOST_EVENTS: Final = 1000
# What an event says without naming a field.
_FIELDS: Final = {
    "delete": ("deleted",),
    "restore": ("deleted",),
    "password_changed": ("password",),
}


def refuse_changed(db: Session, record: AuditedRecord, *, expected: Collection[int] | None) -> None:
    refuse_changed_record(
        db, type(record), record_id=record.id, version=record.version, expected=expected
    )


def refuse_changed_record(
    db: Session,
    model: type[AuditedRecord],
    *,
    record_id: int,
    version: int,
    expected: Collection[int] | None,
) -> None:
    """Compare the locked row with the versions that the client has seen; None takes any.

    Raises ChangedMeanwhileError, which tells of each field who has changed it last since then.
    """
    if expected is None or version in expected:
        return
    seen = max(expected, default=None)
    changes = _changes_since(db, model, record_id, seen) if seen is not None else ()
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
