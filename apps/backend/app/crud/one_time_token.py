"""Single-use, expiring tokens, which letters carry in their links."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, select, update
from sqlalchemy.orm import Session

from app.core.clock import SKEW, utc_now
from app.core.errors import SpentTokenError
from app.core.security import derive_secret, hash_secret, key_ids, new_secret, present_key_id
from app.crud.batch import delete_batch
from app.db.writing import draw_ids, load_rows
from app.models.one_time_token import OneTimeToken, TokenPurpose
from app.models.outgoing_email import OutgoingEmail
from app.models.user import User

LIFETIMES: Final[Mapping[TokenPurpose, timedelta]] = {
    TokenPurpose.VERIFY_EMAIL: timedelta(hours=24),
    TokenPurpose.RESET_PASSWORD: timedelta(hours=1),
    TokenPurpose.INVITATION: timedelta(days=7),
}


def issue_token(db: Session, *, user: User, purpose: TokenPurpose) -> OneTimeToken:
    """Make a token for the user's present address; older ones of the purpose are dead."""
    withdraw_tokens(db, user_ids=[user.id], purposes=[purpose])
    token = OneTimeToken(**_new_token(user.id, user.email, purpose))
    db.add(token)
    db.flush()
    return token


def issue_first_tokens(
    db: Session, *, recipients: Mapping[int, str], purpose: TokenPurpose
) -> Mapping[int, int]:
    """Make a token for each of some new users, given by id and e-mail, and return the tokens' ids
    by those of the users.
    """
    ids = draw_ids(db, model=OneTimeToken, count=len(recipients))
    token_ids = dict(zip(recipients, ids, strict=True))
    tokens = [
        {"id": token_ids[user_id], **_new_token(user_id, email, purpose)}
        for user_id, email in recipients.items()
    ]
    load_rows(db, model=OneTimeToken, rows=tokens)
    return token_ids


def _new_token(user_id: int, email: str, purpose: TokenPurpose) -> dict[str, Any]:
    now, nonce, key_id = utc_now(), new_secret(), present_key_id()
    return {
        "user_id": user_id,
        "purpose": purpose,
        "email": email,
        "nonce": nonce,
        "key_id": key_id,
        "token_hash": hash_secret(_text(nonce, purpose, key_id)),
        "created_at": now,
        "expires_at": now + LIFETIMES[purpose],
    }


def token_text(token: OneTimeToken) -> str:
    """Make the token that the letter's link holds. Raises RetiredKeyError."""
    return _text(token.nonce, token.purpose, token.key_id)


def _text(nonce: str, purpose: str, key_id: str) -> str:
    return derive_secret(nonce, purpose=f"one-time-token:{purpose}", key_id=key_id)


def is_usable(token: OneTimeToken) -> bool:
    """Tell whether a link that leaves now would still open something."""
    is_ours = token.key_id in key_ids()
    return is_ours and token.used_at is None and token.expires_at > utc_now()


def withdraw_tokens(
    db: Session,
    *,
    user_ids: Collection[int],
    purposes: Collection[TokenPurpose] = tuple(TokenPurpose),
) -> None:
    theirs = (OneTimeToken.user_id.in_(user_ids), OneTimeToken.purpose.in_(purposes))
    unused = update(OneTimeToken).where(OneTimeToken.used_at.is_(None), *theirs)
    db.execute(unused.values(used_at=utc_now()))


def owner_of_token(db: Session, *, text: str, purposes: Collection[TokenPurpose]) -> User | None:
    """Return the active user to whose present address a token was sent that is still good."""
    return db.scalar(_owner(text, purposes))


def use_token(db: Session, *, text: str, purposes: Collection[TokenPurpose]) -> User:
    """Spend the token, and return its owner with the row locked. Raises SpentTokenError."""
    # The user before the token, as whoever withdraws tokens locks them: nobody waits in a circle.
    user = db.scalar(_owner(text, purposes).with_for_update(of=User, key_share=True))
    used_id = db.scalar(
        update(OneTimeToken)
        .where(_is_good(text, purposes))
        .values(used_at=utc_now())
        .returning(OneTimeToken.id)
        .execution_options(synchronize_session=False)
    )
    if user is None or used_id is None:
        raise SpentTokenError
    return user


def _owner(text: str, purposes: Collection[TokenPurpose]) -> Select[User]:
    return (
        select(User)
        .join(OneTimeToken, OneTimeToken.user_id == User.id)
        .where(_is_good(text, purposes), OneTimeToken.email == User.email, User.is_active)
    )


def delete_expired_tokens(db: Session) -> int:
    """Delete some of the tokens past their time, unless a letter still names them."""
    named = select(OutgoingEmail.token_id).where(OutgoingEmail.token_id == OneTimeToken.id)
    chosen = select(OneTimeToken.id).where(OneTimeToken.expires_at <= utc_now(), ~named.exists())
    return delete_batch(db, model=OneTimeToken, chosen=chosen.order_by(OneTimeToken.expires_at))


def _is_good(text: str, purposes: Collection[TokenPurpose]) -> ColumnElement[bool]:
    return and_(
        OneTimeToken.token_hash == hash_secret(text),
        OneTimeToken.purpose.in_(purposes),
        OneTimeToken.used_at.is_(None),
        OneTimeToken.expires_at > utc_now(),
        OneTimeToken.created_at <= utc_now() + SKEW,
    )
