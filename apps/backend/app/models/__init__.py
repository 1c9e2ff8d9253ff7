"""Every model, so that whoever imports one has the whole of the metadata."""

from app.db.base import Base
from app.models.audit_event import AuditEvent
from app.models.item import Item
from app.models.job import Job
from app.models.one_time_token import OneTimeToken
from app.models.outgoing_email import OutgoingEmail
from app.models.session import LoginSession, RefreshToken
from app.models.user import User

__all__ = [
    "AuditEvent",
    "Base",
    "Item",
    "Job",
    "LoginSession",
    "OneTimeToken",
    "OutgoingEmail",
    "RefreshToken",
    "User",
]
