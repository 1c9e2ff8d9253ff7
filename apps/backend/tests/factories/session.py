from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.security import create_access_token
from app.models import LoginSession, User


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
