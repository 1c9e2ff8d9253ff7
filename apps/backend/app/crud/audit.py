"""Who did what. Changes of records are captured as they are written; other deeds are recorded.

An event is written in the deed's own transaction. One that tells of a refusal is committed before
the refusal is raised.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from pydantic_core import to_jsonable_python
from sqlalchemy import ScalarSelect, case, event, inspect, select, true
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.config import get_settings
from app.core.errors import NotFoundError
from app.core.origin import Origin
from app.core.permissions import Scope
from app.crud.batch import delete_batch
from app.crud.listing import Listing, Page, get_page, public_columns
from app.db.base import Base
from app.db.driver_session import UnitOfWork
from app.db.folding import twins_of
from app.db.session import origin_of
from app.db.writing import append_row, load_rows
from app.models.audit_event import AuditEvent
from app.models.mixins import AuditMixin
from app.schemas.audit import AuditAction, AuditPublic
from app.schemas.listing import ListQuery


class AuditEventNotFoundError(NotFoundError):
    code = "AUDIT_EVENT_NOT_FOUND"
    text = "There is no such event."


EVENTS: Final = Listing(
    model=AuditEvent,
    columns=public_columns(AuditEvent, AuditPublic),
    searched=("actor_email", "action", "resource_type"),
    scopes=dict.fromkeys(Scope, true()),
    missing=AuditEventNotFoundError,
    exported_as="audit",
)
# Whatever an event may be of, beside the records whose fields it tells.
_OTHER_TYPES: Final = frozenset({"audit", "job", "letter", "request", "session", "usage"})

# What follows from the change itself tells nothing.
_IMPLIED: Final = frozenset({"id", "created_at", "updated_at", "last_login_at", "version"})

_FIELDS: Final[dict[type[AuditMixin], Sequence[str]]] = {}  # Of each model, found out once.


def resource_types() -> Sequence[str]:
    models = (mapper.class_ for mapper in Base.registry.mappers)
    audited = {model.audited_as for model in models if issubclass(model, AuditMixin)}
    return sorted(audited | _OTHER_TYPES)


def record(
    db: Session,
    *,
    action: AuditAction,
    resource_type: str,
    resource_id: int | ScalarSelect[int] | None,
    changes: Mapping[str, Any] | None = None,
    version: int | None = None,
) -> None:
    """Note a deed that is no change of a record's fields: a login, an export."""
    event = _event(db, action, resource_type, resource_id, changes or {}, version=version)
    db.add(AuditEvent(**event))
    db.flush()


def get_events(db: Session, *, query: ListQuery) -> Page:
    return get_page(db, listing=EVENTS, query=query, scope=true())


def get_changes_of_request(db: Session, *, limit: int | None = None) -> list[dict[str, Any]]:
    """Return what the present request has changed so far, in order; new records have no id yet."""
    columns = (
        case((AuditEvent.action != "create", AuditEvent.resource_id)).label("id"),
        AuditEvent.resource_type,
        AuditEvent.action,
        AuditEvent.changes.label("fields"),
    )
    mine = AuditEvent.request_id == origin_of(db).request_id
    statement = select(*columns).where(mine, AuditEvent.version.is_not(None))
    ordered = statement.order_by(AuditEvent.id).limit(limit)
    return [dict(row) for row in db.execute(ordered).mappings()]


def delete_old_events(db: Session) -> int:
    """Delete some of the events that need not be kept any longer."""
    kept_since = utc_now() - timedelta(days=get_settings().AUDIT_RETENTION_DAYS)
    chosen = select(AuditEvent.id).where(AuditEvent.at < kept_since).order_by(AuditEvent.at)
    return delete_batch(db, model=AuditEvent, chosen=chosen)


def write_events(db: Session, events: Sequence[dict[str, Any]]) -> None:
    if len(events) == 1:
        append_row(db, model=AuditEvent, values=events[0])
    else:
        load_rows(db, model=AuditEvent, rows=events)


def creation(
    db: Session, model: type[AuditMixin], *, record_id: int, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The event of a new record, to be written; `values` are its columns."""
    fields = audited_fields(model)
    changes = {name: [None, values[name]] for name in fields if values.get(name) is not None}
    return _event(db, "create", model.audited_as, record_id, changes, version=1)


def change(
    db: Session,
    model: type[AuditMixin],
    *,
    record_id: int,
    changes: Mapping[str, Any],
    version: int,
) -> dict[str, Any] | None:
    """The event of a change, field by field `[before, after]`; None where it tells nothing.

    `version` is the record's own, after the change.
    """
    told = {name: changes[name] for name in audited_fields(model) if name in changes}
    action: AuditAction = "update"
    if (deletion := told.pop("deleted_at", None)) is not None:
        action = "delete" if deletion[1] else "restore"
    elif not told:
        return None
    return _event(db, action, model.audited_as, record_id, told, version=version)


@event.listens_for(UnitOfWork, "after_flush")
def _capture(db: Session, _context: object) -> None:
    events = [_creation(db, row) for row in db.new if isinstance(row, AuditMixin)]
    changes = (_change(db, row) for row in db.dirty if isinstance(row, AuditMixin))
    events += [one for one in changes if one is not None]
    purged: list[Any] = [row for row in db.deleted if isinstance(row, AuditMixin)]
    events += [
        _event(db, "purge", row.audited_as, row.id, {}, version=row.version) for row in purged
    ]
    write_events(db, events)


def audited_fields(model: type[AuditMixin]) -> Sequence[str]:
    if model not in _FIELDS:
        names = {attribute.key for attribute in inspect(model).column_attrs}
        twins = twins_of(model).values()  # type: ignore[arg-type]  # A class has a hash.
        implied = _IMPLIED.union(twin.name for twin in twins)
        _FIELDS[model] = sorted(names - model.never_audited - implied)
    return _FIELDS[model]


def _creation(db: Session, row: Any) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in audited_fields(type(row))}
    return creation(db, type(row), record_id=row.id, values=values)


def _change(db: Session, row: Any) -> dict[str, Any] | None:
    attributes = inspect(row).attrs
    histories = {name: attributes[name].history for name in audited_fields(type(row))}
    changes = {
        name: [history.deleted[0] if history.deleted else None, history.added[0]]
        for name, history in histories.items()
        if history.added
    }
    return change(db, type(row), record_id=row.id, changes=changes, version=row.version)


def _event(
    db: Session,
    action: AuditAction,
    resource_type: str,
    resource_id: int | ScalarSelect[int] | None,
    changes: Mapping[str, Any],
    *,
    version: int | None = None,
) -> dict[str, Any]:
    origin: Origin = origin_of(db)
    return {
        "at": utc_now(),
        "actor_id": origin.actor_id,
        "actor_email": origin.actor_email,
        "action": action,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "version": version,
        "changes": to_jsonable_python(changes),
        "request_id": origin.request_id,
        "session_id": origin.session_id,
        "ip": origin.address,
    }
