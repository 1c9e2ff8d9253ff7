from dataclasses import dataclass

from pydantic_core import PydanticCustomError
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import NotAuthenticatedError
from app.core.security import verify_password
from app.models.user import User
from app.schemas.user import normalise_email


class InvalidCredentialsError(NotAuthenticatedError):
    code = "INVALID_CREDENTIALS"
    text = "E-mail or password is wrong."


@dataclass(frozen=True, slots=True)
class Credentials:
    user_id: int
    hashed_password: str | None


def get_credentials(db: Session, *, login: str) -> Credentials | None:
    """Find an active user by e-mail or user name, in any case."""
    name = _as_stored(login)
    row = db.execute(
        select(User.id, User.hashed_password).where(
            or_(User.email == name, User.username == name), User.is_active
        )
    ).first()
    return row and Credentials(user_id=row.id, hashed_password=row.hashed_password)


def _as_stored(login: str) -> str:
    try:
        return normalise_email(login)
    except PydanticCustomError:
        return login.lower()


def check_credentials(credentials: Credentials | None, *, password: str) -> int:
    """Return the user's id. Hashes once whoever asks, so that time tells nothing.

    Raises InvalidCredentialsError.
    """
    stored = credentials.hashed_password if credentials is not None else None
    if not verify_password(password, stored) or credentials is None:
        raise InvalidCredentialsError
    return credentials.user_id


def note_login(db: Session, *, user_id: int) -> None:
    """Remember the moment. It is no change of the record: version and date stay."""
    db.execute(
        update(User)
        .where(User.id == user_id)
        .values(last_login_at=utc_now(), updated_at=User.updated_at)
        .execution_options(synchronize_session=False)
    )
