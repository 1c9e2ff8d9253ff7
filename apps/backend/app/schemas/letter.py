from datetime import datetime
from enum import StrEnum

from app.schemas.base import Schema


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

    id: int
    recipient: str
    template: LetterTemplate
    status: LetterStatus
    attempts: int
    created_at: datetime
    due_at: datetime
    sent_at: datetime | None
    last_error: str | None
