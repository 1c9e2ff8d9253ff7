from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from app.schemas.base import Schema
from app.schemas.user import email_as_stored


class LetterTemplate(StrEnum):
    WELCOME = "welcome"
    INVITATION = "invitation"
    VERIFY_EMAIL = "verify_email"
    REGISTRATION_TRIED = "registration_tried"
    RESET_PASSWORD = "reset_password"  # noqa: S105  A letter, not a secret.
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    EMAIL_CHANGED = "email_changed"


class LetterStatus(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"


class LetterPublic(Schema):
    """A letter as it waits, was sent, or could not be. What its link opens is never shown."""

    stored_as = MappingProxyType({"recipient": email_as_stored})

    id: int
    recipient: str
    template: LetterTemplate
    status: LetterStatus
    attempts: int
    created_at: datetime
    due_at: datetime
    sent_at: datetime | None
    last_error: str | None
