"""Letters wait in the database until a task delivers them: no crash and no dead mail server loses
one, and none leaves for a deed that was rolled back.
"""

from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.crud.one_time_token import issue_token
from app.models.one_time_token import OneTimeToken, TokenPurpose
from app.models.outgoing_email import OutgoingEmail
from app.models.user import User
from app.schemas.letter import LetterTemplate


def write_letter(
    db: Session,
    *,
    user: User,
    template: LetterTemplate,
    token: OneTimeToken | None = None,
    recipient: str | None = None,
    **parameters: Any,
) -> None:
    """Have a letter sent to the user, or to another address of theirs, once this is committed."""
    now = utc_now()
    db.add(
        OutgoingEmail(
            recipient=recipient or user.email,
            template=template,
            parameters={"name": user.full_name or user.username} | parameters,
            token_id=token.id if token is not None else None,
            created_at=now,
            due_at=now,
        )
    )
    db.flush()


def send_verification(db: Session, *, user: User) -> None:
    token = issue_token(db, user=user, purpose=TokenPurpose.VERIFY_EMAIL)
    write_letter(db, user=user, template=LetterTemplate.VERIFY_EMAIL, token=token)


def send_welcome(db: Session, *, user: User) -> None:
    """Greet a new user; one without a password is invited to set it."""
    if not user.is_active:
        return
    if user.hashed_password is not None:
        write_letter(db, user=user, template=LetterTemplate.WELCOME, username=user.username)
    else:
        token = issue_token(db, user=user, purpose=TokenPurpose.INVITATION)
        write_letter(
            db,
            user=user,
            template=LetterTemplate.INVITATION,
            token=token,
            username=user.username,
        )
