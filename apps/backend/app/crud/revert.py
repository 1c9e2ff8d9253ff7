"""What one request has changed, taken back: by the rules for whoever changes it by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import Row, inspect, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import ConflictError, NotFoundError
from app.core.permissions import Principal
from app.crud import audit as crud_audit
from app.crud.batch import in_batches
from app.crud.bulk import Changes, differences
from app.crud.chosen import Chosen, Resource
from app.crud.item_bulk import ITEM
from app.crud.refusals import Refusals
from app.crud.user_bulk import USER
from app.models.audit_event import AuditEvent
from app.models.mixins import AuditedRecord
from app.schemas.audit import Reverted

_Event = Row[str, str, int | None, int | None]

# Items before users, as whoever changes an item locks its row before its owner's.
RESOURCES: Final[Mapping[str, Resource[Any]]] = {
    resource.listing.model.audited_as: resource for resource in (ITEM, USER)
}
# Whether the record was gone before it.
_WAS_DELETED: Final = {"create": True, "delete": False, "restore": True}
_REVERTIBLE: Final = frozenset({"update", *_WAS_DELETED})
_REVERT: Final = "revert"  # Stands beside the changes that a revert has made, and changes nothing.


class RequestNotFoundError(NotFoundError):
    code = "REQUEST_NOT_FOUND"
    text = "There is no such request in the audit log."


class NotRevertibleError(ConflictError):
    code = "NOT_REVERTIBLE"
    text = "This change cannot be reverted: {deeds}."


class ChangedSinceError(ConflictError):
    code = "CHANGED_SINCE"
    text = "This was {what} since."


@dataclass(slots=True)
class _Past:
    """What a record was before the request, as far as that has changed it."""

    version_after: int | None = None
    was_deleted: bool | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def revert_request(db: Session, *, request_id: str, actor: Principal) -> Sequence[Reverted]:
    """Take back all that the request has changed, or nothing.

    Raises RequestNotFoundError, NotRevertibleError, ChangedSinceError, and what changes by hand
    raise. Of a request that has changed thousands, the first thousand with refusals are named.
    """
    records = _changed_records(db, request_id)
    reverted: list[Reverted] = []
    now = utc_now()  # One for all, so that those who get the same are written in one statement.
    for resource_type, resource in RESOURCES.items():
        for ids in in_batches(sorted(records.get(resource_type, ()))):
            pasts = _pasts(db, request_id, resource_type, ids)
            reverted += _take_back(db, resource, pasts, actor, now)
    crud_audit.record(
        db,
        action=_REVERT,
        resource_type="request",
        resource_id=None,
        changes={"request_id": [None, request_id]},
    )
    return reverted


def _changed_records(db: Session, request_id: str) -> Mapping[str, set[int]]:
    """Raises RequestNotFoundError, NotRevertibleError."""
    columns = (
        AuditEvent.action,
        AuditEvent.resource_type,
        AuditEvent.resource_id,
        AuditEvent.version,
    )
    events = db.execute(select(*columns).where(AuditEvent.request_id == request_id)).all()
    if not events:
        raise RequestNotFoundError
    changes = [event for event in events if event.action != _REVERT]
    _refuse_irrevertible([event for event in changes if not _is_revertible(event)])
    records: dict[str, set[int]] = {}
    for event in changes:
        records.setdefault(event.resource_type, set()).add(event.resource_id)
    return records


def _is_revertible(event: _Event) -> bool:
    """Events of earlier releases bear no version: nobody knows what has changed since."""
    is_change = event.action in _REVERTIBLE and event.resource_type in RESOURCES
    return is_change and event.version is not None


def _refuse_irrevertible(events: Sequence[_Event]) -> None:
    """Raises NotRevertibleError, naming the records where the events do."""
    if not events:
        return
    fields = {
        f"{event.resource_type}.{event.resource_id}": NotRevertibleError(deeds=event.action).detail
        for event in events
        if event.resource_id is not None
    }
    deeds = ", ".join(sorted({event.action for event in events}))
    raise NotRevertibleError(deeds=deeds, fields=fields)


def _pasts(
    db: Session, request_id: str, resource_type: str, ids: Sequence[int]
) -> Mapping[int, _Past]:
    """Of several changes of one record, the first tells what it was before."""
    columns = (AuditEvent.resource_id, AuditEvent.action, AuditEvent.version, AuditEvent.changes)
    events = db.execute(
        select(*columns)
        .where(
            AuditEvent.request_id == request_id,
            AuditEvent.resource_type == resource_type,
            AuditEvent.resource_id.in_(ids),
        )
        .order_by(AuditEvent.id)
    )
    pasts = {one: _Past() for one in ids}
    for record_id, action, version, changes in events:
        past = pasts[record_id]
        past.version_after = version
        if past.was_deleted is None:
            past.was_deleted = _WAS_DELETED.get(action)
        if action != "create":
            past.fields = {name: before for name, (before, _) in changes.items()} | past.fields
    return pasts


def _take_back(
    db: Session,
    resource: Resource[Any],
    pasts: Mapping[int, _Past],
    actor: Principal,
    now: datetime,
) -> Sequence[Reverted]:
    rows = _lock(db, resource.listing.model, list(pasts))
    refusals = Refusals(under=resource.listing.model.audited_as)
    changes: dict[int, Mapping[str, Any]] = {}
    for record_id, past in pasts.items():
        with refusals.of_row(record_id):
            changes[record_id] = _values_before(rows.get(record_id), past, now)
    refusals.raise_any()
    chosen = Chosen(list(rows.values()), refusals, {one: one for one in rows})
    reverted = _tell(chosen, changes)
    resource.change(db, chosen=chosen, changes=changes, actor=actor)
    return reverted


def _lock(
    db: Session, model: type[AuditedRecord], ids: Sequence[int]
) -> Mapping[int, AuditedRecord]:
    statement = select(model).where(model.id.in_(ids)).order_by(model.id)
    locked = statement.with_for_update(key_share=True).execution_options(include_deleted=True)
    return {row.id: row for row in db.scalars(locked)}


def _values_before(row: AuditedRecord | None, past: _Past, now: datetime) -> dict[str, Any]:
    """Raises ChangedSinceError, NotRevertibleError."""
    if row is None:
        raise ChangedSinceError(what="purged")
    if row.version != past.version_after:
        raise ChangedSinceError(what="changed")
    if unknown := past.fields.keys() - set(crud_audit.audited_fields(type(row))):
        raise NotRevertibleError(deeds=", ".join(sorted(unknown)))
    values = {name: _read(row, name, value) for name, value in past.fields.items()}
    if past.was_deleted is not None:
        values["deleted_at"] = (row.deleted_at or now) if past.was_deleted else None
    return values


def _read(row: AuditedRecord, name: str, value: Any) -> Any:
    """Make of what the audit holds as JSON what the column holds."""
    kind: Any = inspect(type(row)).column_attrs[name].columns[0].type.python_type
    return None if value is None else _adapter_of(kind).validate_python(value)


@cache  # To make one takes longer than all the rest.
def _adapter_of(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _tell(chosen: Chosen[AuditedRecord], changes: Changes) -> Sequence[Reverted]:
    reverted = []
    for row in chosen.rows:
        values = differences(row, changes[row.id])
        action = "update"
        if "deleted_at" in values:
            action = "restore" if values.pop("deleted_at") is None else "delete"
        if values or action != "update":
            reverted.append(
                Reverted(
                    resource_type=row.audited_as,
                    resource_id=row.id,
                    action=action,
                    fields=sorted(values),
                )
            )
    return reverted
