"""Many users at once, by the rules that hold for one."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.permissions import Principal
from app.crud.bulk import Changes, differences, update_rows
from app.crud.chosen import Chosen, Resource
from app.crud.department import settle_departments
from app.crud.user import (
    TAKEN,
    USERS,
    CurrentPasswordWrongError,
    EmailTakenError,
    LastAdminError,
    UsernameTakenError,
    follow_email,
    has_admin_beside,
    is_losing_admin,
    shut_out_all,
)
from app.crud.user_policy import refuse_forbidden_changes
from app.db.integrity import constraint_error
from app.models.user import User


def change_users(db: Session, *, chosen: Chosen[User], changes: Changes, actor: Principal) -> None:
    real = {user.id: differences(user, changes[user.id]) for user in chosen.rows}
    for user in chosen.rows:
        with chosen.of_row(user):
            _refuse_forbidden(user, real[user.id], actor)
    chosen.refusals.raise_any()
    _refuse_losing_admins(db, chosen, real)
    settle_departments(db, list(real.values()), beside=chosen.ids)
    _write(db, chosen, {user_id: {**changes[user_id], **new} for user_id, new in real.items()})
    _follow(db, chosen, real)


USER: Final = Resource(USERS, change_users)


def _refuse_forbidden(user: User, changes: Mapping[str, Any], actor: Principal) -> None:
    refuse_forbidden_changes(user, changes, actor)
    if "email" in changes and user.id == actor.id:
        raise CurrentPasswordWrongError


def _refuse_losing_admins(db: Session, chosen: Chosen[User], changes: Changes) -> None:
    losing = [user for user in chosen.rows if is_losing_admin(user, changes[user.id])]
    if losing and not has_admin_beside(db, user_ids=[user.id for user in losing]):
        for user in losing:
            chosen.refuse(user, LastAdminError())
        chosen.refusals.raise_any()


def _write(db: Session, chosen: Chosen[User], changes: Changes) -> None:
    """The constraints tell that a value is taken, and then is asked whose. The client has sent none
    of them.
    """
    with constraint_error(TAKEN):
        try:
            with db.begin_nested():
                update_rows(db, model=User, rows=chosen.rows, changes=changes)
        except IntegrityError:
            _note_taken(db, chosen, changes)
            chosen.refusals.raise_any()
            raise


def _note_taken(db: Session, chosen: Chosen[User], changes: Changes) -> None:
    wanted = {user.id: _identity(user, changes[user.id]) for user in chosen.rows}
    emails, usernames = zip(*wanted.values(), strict=True)
    holders = db.execute(
        select(User.id, User.email, User.username).where(
            or_(User.email.in_(emails), User.username.in_(usernames))
        )
    ).all()
    email_holders = {row.email: row.id for row in holders}
    username_holders = {row.username: row.id for row in holders}
    for user in chosen.rows:
        email, username = wanted[user.id]
        # Of two among the rows themselves, the first may have it. One reason is told of each row.
        email_holder = email_holders.setdefault(email, user.id)
        username_holder = username_holders.setdefault(username, user.id)
        if email_holder != user.id:
            chosen.refuse(user, EmailTakenError(fields={}))
        elif username_holder != user.id:
            chosen.refuse(user, UsernameTakenError(fields={}))


def _identity(user: User, changes: Mapping[str, Any]) -> tuple[str, str]:
    return changes.get("email", user.email), changes.get("username", user.username)


def _follow(db: Session, chosen: Chosen[User], changes: Changes) -> None:
    """Do what follows from a change of address, and from a loss of access."""
    for user in chosen.rows:
        if "email" in changes[user.id]:
            old_email = user.email
            db.refresh(user)
            follow_email(db, user, old_email=old_email)
    lost = [user.id for user in chosen.rows if _loses_access(changes[user.id])]
    if lost:
        shut_out_all(db, user_ids=lost)


def _loses_access(changes: Mapping[str, Any]) -> bool:
    return changes.get("is_active") is False or changes.get("deleted_at") is not None
