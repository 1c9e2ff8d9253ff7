from datetime import datetime

from sqlalchemy.orm import Session

from app.models import AuditEvent, User


def make_login_event(db: Session, *, user: User, at: datetime) -> AuditEvent:
    """Make what the audit holds of a login."""
    event = AuditEvent(
        at=at,
        actor_id=user.id,
        actor_email=user.email,
        action="login",
        resource_type="user",
        resource_id=user.id,
        changes={},
    )
    db.add(event)
    db.commit()
    db.refresh(event)
    return event
