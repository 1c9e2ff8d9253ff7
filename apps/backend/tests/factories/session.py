from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.security import create_access_token, hash_secret, new_secret
from app.models import LoginSession, RefreshToken, User


@dataclass(frozen=True)
class Login:
    """What a client holds after it has signed in."""

    session_id: int
    access_token: str
    refresh_token: str


def make_session(db: Session, *, user: User, **values: Any) -> LoginSession:
    """Make a login, as if by another client: nobody holds its refresh token."""
    now = utc_now()
    defaults = {
        "device": "Firefox",
        "address": "192.0.2.7",
        "created_at": now,
        "last_used_at": now,
        "idle_expires_at": now + timedelta(days=3),
        "expires_at": now + timedelta(days=7),
    }
    session = LoginSession(user_id=user.id, **defaults | values)
    db.add(session)
    db.commit()
    db.refresh(session)
    return session


def make_token(db: Session, *, user: User, session: LoginSession | None = None) -> str:
    """Make an access token, and a session for it where none is given."""
    session = session or make_session(db, user=user)
    return create_access_token(user_id=user.id, session_id=session.id).text


def make_login(db: Session, *, user: User, **values: Any) -> Login:
    """Make a session, as if the user had signed in, with both of its tokens."""
    session = make_session(db, user=user, **values)
    refresh_token = new_secret()
    db.add(
        RefreshToken(
            session_id=session.id,
            token_hash=hash_secret(refresh_token),
            created_at=session.created_at,
        )
    )
    db.commit()
    return Login(session.id, make_token(db, user=user, session=session), refresh_token)
