"""Who is asking, and whether a login is right."""

from dataclasses import dataclass
from typing import Final

from pydantic_core import PydanticCustomError
from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import NotAuthenticatedError
from app.core.permissions import Principal, Role
from app.core.security import AccessClaims, verify_password
from app.crud import audit as crud_audit
from app.crud.session import (
    OpenSession,
    SessionNotFoundError,
    end_every_session,
    end_session,
    end_sessions,
    is_ended,
    is_live,
    open_session,
)
from app.crud.user import USERS
from app.db.prepared import Prepared
from app.db.session import origin_of
from app.models.mixins import without_deleted
from app.models.session import LoginSession
from app.models.user import User
from app.schemas.audit import AuditAction
from app.schemas.user import normalise_email, normalise_username


class InvalidCredentialsError(NotAuthenticatedError):
    code = "INVALID_CREDENTIALS"
    text = "The e-mail or user name, or the password, is wrong."


@dataclass(frozen=True, slots=True)
class Credentials:
    user_id: int
    email: str
    is_active: bool
    hashed_password: str | None


_CALLER: Final = Prepared(
    without_deleted(
        USERS.select.add_columns(User.must_change_password)
        .join(LoginSession, LoginSession.user_id == User.id)
        .where(
            User.id == bindparam("user_id"),
            User.is_active,
            LoginSession.id == bindparam("session_id"),
            is_live(bindparam("now")),
        )
    )
)


def get_principal(db: Session, *, claims: AccessClaims) -> Principal | None:
    """Return the active user whom an access token names, while the session goes on."""
    values = {"user_id": claims.user_id, "session_id": claims.session_id, "now": utc_now()}
    profile = _CALLER.first(db, values)
    if profile is None:
        return None
    must_change_password = profile.pop("must_change_password")
    return Principal(
        id=claims.user_id,
        session_id=claims.session_id,
        role=Role(profile["role"]),
        department=profile["department"],
        is_verified=profile["is_verified"],
        must_change_password=must_change_password,
        profile=profile,
    )


def get_credentials(db: Session, *, login: str) -> Credentials | None:
    """Find a user by e-mail or user name, in any case."""
    name = stored_form(login)
    row = db.execute(
        select(User.id, User.email, User.is_active, User.hashed_password).where(
            or_(User.email == name, User.username == name)
        )
    ).first()
    return row and Credentials(*row)


def stored_form(login: str) -> str:
    """Return what a user typed as it would stand in the database: one account, one spelling."""
    try:
        return normalise_email(login)
    except PydanticCustomError:
        return normalise_username(login)


def are_right(credentials: Credentials | None, *, password: str) -> bool:
    """Hash once whoever asks, so that time tells nothing."""
    is_usable = credentials is not None and credentials.is_active
    stored = credentials.hashed_password if credentials is not None and is_usable else None
    return verify_password(password, stored)


def log_in(db: Session, *, credentials: Credentials, new_hash: str | None) -> OpenSession:
    """Open a session. `new_hash` replaces a hash of yesterday's cost.

    The moment is remembered; it is no change of the record: version and date stay.
    Raises InvalidCredentialsError where the account was shut, or got another password, meanwhile.
    """
    origin = origin_of(db)
    stored = credentials.hashed_password
    renewed = new_hash or stored  # Another who signs in at the same time may have stored it.
    found = db.scalar(
        update(User)
        .where(
            User.id == credentials.user_id,
            User.is_active,
            User.hashed_password.in_([stored, renewed]),
        )
        .values(hashed_password=renewed, last_login_at=utc_now(), updated_at=User.updated_at)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    if found is None:
        raise InvalidCredentialsError
    session = open_session(db, user_id=credentials.user_id)
    origin.actor_id, origin.actor_email = credentials.user_id, credentials.email
    origin.session_id = session.id
    crud_audit.record(db, action="login", resource_type="user", resource_id=credentials.user_id)
    return session


def note_failed_login(db: Session, *, credentials: Credentials | None) -> None:
    """What was typed as a name is not noted: it may be a password."""
    known_id = credentials.user_id if credentials is not None else None
    crud_audit.record(db, action="login_failed", resource_type="user", resource_id=known_id)


def log_out(db: Session, *, claims: AccessClaims) -> None:
    """End the session, unless it has ended already."""
    if end_session(db, session_id=claims.session_id, user_id=claims.user_id):
        _record_logout(db, "logout", claims)


def log_out_everywhere(db: Session, *, claims: AccessClaims) -> None:
    """End all of the user's sessions; a token of one that has ended already ends no other."""
    if is_ended(db, session_id=claims.session_id):
        return
    end_sessions(db, user_id=claims.user_id)
    _record_logout(db, "logout_all", claims)


def _record_logout(db: Session, action: AuditAction, claims: AccessClaims) -> None:
    origin = origin_of(db)
    origin.actor_id, origin.session_id = claims.user_id, claims.session_id
    origin.actor_email = db.scalar(select(User.email).where(User.id == claims.user_id))
    crud_audit.record(db, action=action, resource_type="user", resource_id=claims.user_id)


def end_own_session(db: Session, *, session_id: int, actor: Principal) -> None:
    """Raises SessionNotFoundError."""
    if not end_session(db, session_id=session_id, user_id=actor.id):
        raise SessionNotFoundError
    crud_audit.record(db, action="session_ended", resource_type="session", resource_id=session_id)


def end_sessions_of(db: Session, *, user_id: int) -> int:
    count = end_sessions(db, user_id=user_id)
    crud_audit.record(db, action="sessions_ended", resource_type="user", resource_id=user_id)
    return count


def end_sessions_of_all(db: Session) -> int:
    count = end_every_session(db)
    crud_audit.record(db, action="sessions_ended", resource_type="user", resource_id=None)
    return count
