from typing import Final

from sqlalchemy.orm import Session

from app.crud import audit as crud_audit
from app.crud.letter import write_letter
from app.crud.one_time_token import withdraw_tokens
from app.crud.session import end_sessions
from app.models.one_time_token import TokenPurpose
from app.models.user import User
from app.schemas.letter import LetterTemplate

# An invitation sets a first password as a reset sets the next.
SETS_PASSWORD: Final = (TokenPurpose.RESET_PASSWORD, TokenPurpose.INVITATION)


def store_password(
    db: Session,
    *,
    user: User,
    hashed_password: str,
    must_change: bool = False,
    kept_session_id: int | None = None,
) -> None:
    """Give a user another password. It ends the sessions that the one before has opened, and the
    links that would set another; the user is told by letter.
    """
    had_password = user.hashed_password is not None
    user.hashed_password = hashed_password
    user.must_change_password = must_change
    db.flush()
    end_sessions(db, user_id=user.id, but=kept_session_id)
    withdraw_tokens(db, user_ids=[user.id], purposes=SETS_PASSWORD)
    crud_audit.record(
        db,
        action="password_changed",
        resource_type="user",
        resource_id=user.id,
        version=user.version,
    )
    if had_password and user.is_active:
        write_letter(db, user=user, template=LetterTemplate.PASSWORD_CHANGED)
