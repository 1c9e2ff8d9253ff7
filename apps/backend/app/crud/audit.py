"""Who did what. Changes of records are captured as they are written; other deeds are recorded.

An event is written in the deed's own transaction. One that tells of a refusal is committed before
the refusal is raised.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import event, insert, inspect, true
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.origin import Origin
from app.crud.listing import Listing, Page, get_page, public_columns
from app.db.base import Base
from app.db.session import UnitOfWork, origin_of
from app.models.audit_event import AuditEvent
from app.models.item import Item
from app.models.user import User
from app.schemas.audit import AuditPublic
from app.schemas.item import ItemPublic
from app.schemas.listing import ListQuery
from app.schemas.user import UserPublic

EVENTS: Final = Listing(
    model=AuditEvent,
    columns=public_columns(AuditEvent, AuditPublic),
    searched=(AuditEvent.actor_email, AuditEvent.action, AuditEvent.resource_type),
)

# What follows from the change itself tells nothing.
_IMPLIED: Final = frozenset({"id", "created_at", "updated_at", "last_login_at", "version"})
# The fields of each audited model. Those left out, a hash of a password say, are never noted.
AUDITED: Final[Mapping[type[Base], tuple[str, frozenset[str]]]] = {
    User: ("user", frozenset(UserPublic.model_fields) - _IMPLIED | {"must_change_password"}),
    Item: ("item", frozenset(ItemPublic.model_fields) - _IMPLIED),
}


def record(
    db: Session,
    *,
    action: str,
    resource_type: str,
    resource_id: int | None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Note a deed that is no change of a record's fields: a login, an export."""
    db.add(AuditEvent(**_event(db, action, resource_type, resource_id, changes or {})))
    db.flush()


def get_events(db: Session, *, query: ListQuery) -> Page:
    return get_page(db, listing=EVENTS, query=query, scope=true())


@event.listens_for(UnitOfWork, "after_flush")
def _capture(db: Session, _context: object) -> None:
    events = [_creation(db, row) for row in db.new if type(row) in AUDITED]
    events += [
        found
        for row in db.dirty
        if type(row) in AUDITED and (found := _change(db, row)) is not None
    ]
    if events:
        db.execute(insert(AuditEvent), events)


def _creation(db: Session, row: Any) -> dict[str, Any]:
    resource_type, fields = AUDITED[type(row)]
    values = {name: getattr(row, name) for name in sorted(fields)}
    changes = {name: [None, value] for name, value in values.items() if value is not None}
    return _event(db, "create", resource_type, row.id, changes)


def _change(db: Session, row: Any) -> dict[str, Any] | None:
    resource_type, fields = AUDITED[type(row)]
    attributes = inspect(row).attrs
    histories = {name: attributes[name].history for name in sorted({*fields, "deleted_at"})}
    before_and_after = {
        name: [history.deleted[0] if history.deleted else None, history.added[0]]
        for name, history in histories.items()
        if history.added
    }
    deletion = before_and_after.pop("deleted_at", None)
    if deletion is not None:
        return _event(db, "delete" if deletion[1] else "restore", resource_type, row.id, {})
    if not before_and_after:
        return None
    return _event(db, "update", resource_type, row.id, before_and_after)


def _event(
    db: Session,
    action: str,
    resource_type: str,
    resource_id: int | None,
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    origin: Origin = origin_of(db)
    return {
        "at": utc_now(),
        "actor_id": origin.actor_id,
        "actor_email": origin.actor_email,
        "action": action,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "changes": changes,
        "request_id": origin.request_id,
        "session_id": origin.session_id,
        "ip": origin.address,
    }
