"""Every model, so that whoever imports one has the whole of the metadata."""

from app.db.base import Base
from app.models.audit_event import AuditEvent
from app.models.idempotency_key import IdempotencyKey
from app.models.item import Item
from app.models.job import Job
from app.models.one_time_token import OneTimeToken
from app.models.outgoing_email import OutgoingEmail
from app.models.session import LoginSession, RefreshToken
from app.models.usage import UsageEvent, UsageMonth
from app.models.user import User

__all__ = [
    "AuditEvent",
    "Base",
    "IdempotencyKey",
    "Item",
    "Job",
    "LoginSession",
    "OneTimeToken",
    "OutgoingEmail",
    "RefreshToken",
    "UsageEvent",
    "UsageMonth",
    "User",
]
