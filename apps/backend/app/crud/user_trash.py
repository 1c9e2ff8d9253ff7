"""How a deleted user comes back or goes for good, and what hangs on a user before that."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from sqlalchemy import ColumnElement, ScalarSelect, delete, func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import ConflictError, PermissionDeniedError
from app.core.permissions import Principal
from app.crud.records import take_out
from app.crud.session import is_live
from app.crud.user import TAKEN, refuse_losing_last_admin, taken_error
from app.crud.user_policy import refuse_unwritable
from app.models.idempotency_key import IdempotencyKey
from app.models.item import Item
from app.models.mixins import IdMixin
from app.models.one_time_token import OneTimeToken
from app.models.outgoing_email import OutgoingEmail
from app.models.session import LoginSession
from app.models.usage import UsageEvent, UsageMonth
from app.models.user import User
from app.schemas.letter import LetterStatus
from app.schemas.user import MOST_COUNTED, Count

# No user is purged while they have any of these.
_DEPENDENTS: Final = ("items", "items_in_trash", "usage_entries")
# These are of no use without their user. A month without entries counts nothing.
_GO_ALONG: Final = (LoginSession, OneTimeToken, IdempotencyKey, UsageMonth)
# The client has sent none of the values that were taken.
_TAKEN_MEANWHILE: Final = {name: partial(error, fields={}) for name, error in TAKEN.items()}


class HasDependentsError(ConflictError):
    code = "HAS_DEPENDENTS"
    text = "Cannot purge: {listed} still refer to this user."

    def __init__(self, dependents: Mapping[str, object]) -> None:
        counts = (f"{count} {name.replace('_', ' ')}" for name, count in dependents.items())
        super().__init__(listed=", ".join(counts))


class OwnPurgeError(PermissionDeniedError):
    code = "OWN_PURGE_NOT_PERMITTED"
    text = "You cannot purge your own account. Another admin can."


def restore_user(db: Session, *, user: User, actor: Principal) -> User:
    """Raises PermissionDeniedError, NotDeletedError, EmailTakenError, UsernameTakenError."""
    refuse_unwritable(user, actor)
    take_out(user)
    with taken_error(db, email=user.email, errors=_TAKEN_MEANWHILE):
        db.flush()
    return user


def purge_user(db: Session, *, user: User, actor: Principal) -> None:
    """Delete for good. Whoever does so holds the row against all who would hang something on it.

    Raises OwnPurgeError, LastAdminError, HasDependentsError.
    """
    if user.id == actor.id:
        raise OwnPurgeError
    refuse_losing_last_admin(db, user, {"is_active": False})
    impact = get_impact(db, user_id=user.id)
    if dependents := {name: impact[name] for name in _DEPENDENTS if impact[name]}:
        raise HasDependentsError(dependents)
    for model in _GO_ALONG:
        db.execute(
            delete(model)
            .where(model.user_id == user.id)
            .execution_options(synchronize_session=False)
        )
    db.delete(user)
    db.flush()


def get_impact(db: Session, *, user_id: int) -> dict[str, Count]:
    """Count what hangs on a user, up to a bound, in one statement."""
    address = select(User.email).where(User.id == user_id).scalar_subquery()
    is_waiting = OutgoingEmail.status == LetterStatus.WAITING
    owned = Item.owner_id == user_id
    counts = {
        "items": _count(Item, owned, Item.deleted_at.is_(None)),
        "items_in_trash": _count(Item, owned, Item.deleted_at.is_not(None)),
        "usage_entries": _count(UsageEvent, UsageEvent.user_id == user_id),
        "sessions": _count(LoginSession, LoginSession.user_id == user_id, is_live(utc_now())),
        "letters_waiting": _count(OutgoingEmail, OutgoingEmail.recipient == address, is_waiting),
    }
    statement = select(*(count.label(name) for name, count in counts.items()))
    row = db.execute(statement, execution_options={"include_deleted": True}).mappings().one()
    return {name: "100+" if count > MOST_COUNTED else count for name, count in row.items()}


def _count(model: type[IdMixin], *which: ColumnElement[bool]) -> ScalarSelect[int]:
    """Count one more than is told at most, however many there are."""
    some = select(model.id).where(*which).limit(MOST_COUNTED + 1).subquery()
    return select(func.count()).select_from(some).scalar_subquery()
