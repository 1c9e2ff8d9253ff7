"""Logins: opened with a refresh token, renewed by spending it for the next, ended for good."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from sqlalchemy import ColumnElement, Row, Select, and_, or_, select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.config import get_settings
from app.core.errors import NotAuthenticatedError, NotFoundError
from app.core.security import (
    AccessClaims,
    InvalidTokenError,
    RetiredKeyError,
    derive_secret,
    hash_secret,
    new_secret,
    present_key_id,
)
from app.crud import audit as crud_audit
from app.crud.batch import delete_batch
from app.db.session import origin_of
from app.models.session import LoginSession, RefreshToken
from app.models.user import User

# Two tabs that refresh at once both mean well; a thief comes later.
GRACE: Final = timedelta(seconds=10)
MAX_DEVICE_LENGTH: Final = 200
MOST_SHOWN: Final = 100


class RefreshTokenReusedError(NotAuthenticatedError):
    code = "REFRESH_TOKEN_REUSED"
    text = "Your session was ended, because its refresh token was used twice. Sign in again."


class SessionNotFoundError(NotFoundError):
    code = "SESSION_NOT_FOUND"
    text = "There is no such session."


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as its client gets it; the refresh token is stored nowhere in this form."""

    id: int
    user_id: int
    refresh_token: str
    expires_at: datetime
    is_renewed: bool = True  # Or answered again, to a token that was spent just now.


def is_live(now: datetime | Any) -> ColumnElement[bool]:
    return and_(
        LoginSession.ended_at.is_(None),
        LoginSession.expires_at > now,
        LoginSession.idle_expires_at > now,
    )


def get_sessions(db: Session, *, user_id: int, current_id: int) -> list[dict[str, Any]]:
    """Return the user's live sessions, the last used first."""
    columns = (
        LoginSession.id,
        LoginSession.device,
        LoginSession.address,
        LoginSession.created_at,
        LoginSession.last_used_at,
        LoginSession.expires_at,
        (LoginSession.id == current_id).label("is_current"),
    )
    statement = (
        select(*columns)
        .where(LoginSession.user_id == user_id, is_live(utc_now()))
        .order_by(LoginSession.last_used_at.desc(), LoginSession.id.desc())
        .limit(MOST_SHOWN)
    )
    return [dict(row) for row in db.execute(statement).mappings()]


def open_session(db: Session, *, user_id: int) -> OpenSession:
    origin = origin_of(db)
    now = utc_now()
    session = LoginSession(
        user_id=user_id,
        device=origin.device[:MAX_DEVICE_LENGTH],
        address=origin.address or "",
        created_at=now,
        last_used_at=now,
        idle_expires_at=_idle_until(now),
        expires_at=now + timedelta(days=get_settings().REFRESH_TOKEN_EXPIRE_DAYS),
    )
    db.add(session)
    db.flush()
    refresh_token = new_secret()
    _store_token(db, refresh_token, session_id=session.id, now=now)
    return OpenSession(session.id, user_id, refresh_token, session.expires_at)


def refresh_session(db: Session, *, refresh_token: str) -> OpenSession:
    """Spend the token for its successor. The latter is a keyed hash of the former, so that two
    who spend one at the same time get the same.

    Raises InvalidTokenError, and RefreshTokenReusedError, after which the session is ended.
    """
    now = utc_now()
    session_id = db.scalar(
        update(RefreshToken)
        .where(
            RefreshToken.token_hash == hash_secret(refresh_token),
            RefreshToken.spent_at.is_(None),
            RefreshToken.session_id.in_(_renewable(now)),
        )
        .values(spent_at=now, key_id=present_key_id())
        .returning(RefreshToken.session_id)
        .execution_options(synchronize_session=False)
    )
    if session_id is None:
        return _answer_again(db, refresh_token=refresh_token, now=now)
    session = db.execute(
        update(LoginSession)
        .where(LoginSession.id == session_id, is_live(now))
        .values(last_used_at=now, idle_expires_at=_idle_until(now))
        .returning(LoginSession.user_id, LoginSession.expires_at)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if session is None:  # It was ended while this waited.
        raise InvalidTokenError
    successor = _successor(refresh_token, key_id=present_key_id())
    _store_token(db, successor, session_id=session_id, now=now)
    return OpenSession(session_id, session.user_id, successor, session.expires_at)


def _answer_again(db: Session, *, refresh_token: str, now: datetime) -> OpenSession:
    """Follow a token spent within the grace to the one that is live; a later use is a theft.

    Raises InvalidTokenError, RefreshTokenReusedError.
    """
    token = _find_token(db, refresh_token=refresh_token, now=now)
    while token.spent_at is not None:
        if abs(now - token.spent_at) > GRACE:  # Or the clock was set back: that is no grace.
            _refuse(db, token.session_id, token.user_id, RefreshTokenReusedError())
        refresh_token = _successor(refresh_token, key_id=token.key_id)
        token = _find_token(db, refresh_token=refresh_token, now=now)
    return OpenSession(
        token.session_id, token.user_id, refresh_token, token.expires_at, is_renewed=False
    )


def _find_token(
    db: Session, *, refresh_token: str, now: datetime
) -> Row[datetime | None, str | None, int, int, datetime, bool]:
    """Raises InvalidTokenError."""
    token = db.execute(
        select(
            RefreshToken.spent_at,
            RefreshToken.key_id,
            RefreshToken.session_id,
            LoginSession.user_id,
            LoginSession.expires_at,
            LoginSession.id.in_(_renewable(now)).label("is_renewable"),
        )
        .join(LoginSession, LoginSession.id == RefreshToken.session_id)
        .where(RefreshToken.token_hash == hash_secret(refresh_token))
    ).first()
    if token is None:
        raise InvalidTokenError
    if not token.is_renewable:
        _refuse(db, token.session_id, token.user_id, InvalidTokenError())
    return token


def _refuse(db: Session, session_id: int, user_id: int, refusal: NotAuthenticatedError) -> NoReturn:
    """End the session, if it has not ended yet, and note who was turned away."""
    end_session(db, session_id=session_id, user_id=user_id)
    origin_of(db).session_id = session_id
    crud_audit.record(db, action="refresh_refused", resource_type="user", resource_id=user_id)
    db.commit()  # The refusal must not bring the session back to life.
    raise refusal


def is_ended(db: Session, *, session_id: int) -> bool:
    """Tell also of a session that is no longer known."""
    statement = select(LoginSession.id).where(
        LoginSession.id == session_id, LoginSession.ended_at.is_(None)
    )
    return db.scalar(statement) is None


def end_session(db: Session, *, session_id: int, user_id: int) -> bool:
    """Tell whether there was anything to end."""
    return bool(_end(db, LoginSession.id == session_id, LoginSession.user_id == user_id))


def end_sessions(db: Session, *, user_id: int, but: int | None = None) -> int:
    """End all of a user's sessions, or all but one, and return how many there were.

    Whoever does so holds the user's row: two who end the same sessions take turns.
    """
    db.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    kept = LoginSession.id != but if but is not None else LoginSession.id.is_not(None)
    return _end(db, LoginSession.user_id == user_id, kept)


def end_sessions_of_all(db: Session, *, user_ids: Collection[int]) -> int:
    """End all sessions of these users. Whoever does so holds their rows."""
    return _end(db, LoginSession.user_id.in_(user_ids))


def end_every_session(db: Session) -> int:
    return _end(db)


def delete_expired_refresh_tokens(db: Session) -> int:
    """Delete some of the tokens of sessions past their end, spent ones too, which until then tell
    a theft. They go ahead of their sessions: one session may have hundreds.
    """
    expired = select(LoginSession.id).where(LoginSession.expires_at <= utc_now())
    chosen = select(RefreshToken.id).where(RefreshToken.session_id.in_(expired))
    return delete_batch(db, model=RefreshToken, chosen=chosen)


def delete_expired_sessions(db: Session) -> int:
    """Delete some of the sessions past their absolute end, however they were used."""
    chosen = select(LoginSession.id).where(LoginSession.expires_at <= utc_now())
    return delete_batch(db, model=LoginSession, chosen=chosen.order_by(LoginSession.expires_at))


def _end(db: Session, *which: ColumnElement[bool]) -> int:
    ended = db.scalars(
        update(LoginSession)
        .where(LoginSession.ended_at.is_(None), *which)
        .values(ended_at=utc_now())
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    )
    return len(ended.all())


def claims_of_refresh_token(db: Session, *, refresh_token: str) -> tuple[AccessClaims, bool]:
    """Name the session, ended or not, of any token ever given out, and tell whether the token may
    still refresh it. Raises InvalidTokenError.
    """
    now = utc_now()
    is_fresh = or_(RefreshToken.spent_at.is_(None), RefreshToken.spent_at >= now - GRACE)
    row = db.execute(
        select(LoginSession.user_id, LoginSession.id, and_(is_live(now), is_fresh))
        .join(RefreshToken, RefreshToken.session_id == LoginSession.id)
        .where(RefreshToken.token_hash == hash_secret(refresh_token))
    ).first()
    if row is None:
        raise InvalidTokenError
    return AccessClaims(*row[:2]), bool(row[2])


def _renewable(now: datetime) -> Select[int]:
    return (
        select(LoginSession.id)
        .join(User, User.id == LoginSession.user_id)
        .where(is_live(now), User.is_active)
    )


def _idle_until(now: datetime) -> datetime:
    return now + timedelta(days=get_settings().SESSION_IDLE_DAYS)


def _successor(refresh_token: str, *, key_id: str) -> str:
    try:
        return derive_secret(refresh_token, purpose="refresh-successor", key_id=key_id)
    except RetiredKeyError:
        raise InvalidTokenError from None


def _store_token(db: Session, refresh_token: str, *, session_id: int, now: datetime) -> None:
    token_hash = hash_secret(refresh_token)
    db.add(RefreshToken(session_id=session_id, token_hash=token_hash, created_at=now))
    db.flush()
