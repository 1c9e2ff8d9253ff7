from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.crud.one_time_token import issue_token
from app.models import OneTimeToken, OutgoingEmail, User
from app.models.one_time_token import TokenPurpose
from app.schemas.letter import LetterStatus, LetterTemplate


def make_letter(db: Session, *, recipient: str = "ann@example.com", **values: Any) -> OutgoingEmail:
    """Make a letter without a link that is due now."""
    now = utc_now()
    defaults = {
        "template": LetterTemplate.WELCOME,
        "parameters": {"name": "Ann", "username": "ann"},
        "status": LetterStatus.WAITING,
        "created_at": now,
        "due_at": now,
    }
    letter = OutgoingEmail(recipient=recipient, **defaults | values)
    db.add(letter)
    db.commit()
    db.refresh(letter)
    return letter


def make_one_time_token(
    db: Session, *, user: User, purpose: TokenPurpose = TokenPurpose.RESET_PASSWORD, **values: Any
) -> OneTimeToken:
    """Make what a link is good for; the user's older ones of the purpose are withdrawn."""
    token = issue_token(db, user=user, purpose=purpose)
    for name, value in values.items():
        setattr(token, name, value)
    db.commit()
    db.refresh(token)
    return token


def make_letter_with_link(
    db: Session,
    *,
    user: User,
    template: LetterTemplate = LetterTemplate.RESET_PASSWORD,
    **values: Any,
) -> OutgoingEmail:
    """Make a letter whose link is good."""
    token = make_one_time_token(db, user=user, purpose=TokenPurpose(template.value))
    return make_letter(db, recipient=user.email, template=template, token_id=token.id, **values)
