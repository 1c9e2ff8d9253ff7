import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import ConflictError, DomainError, NotFoundError, PermissionDeniedError
from app.core.permissions import Principal, Role, Scope
from app.core.security import hash_password, verify_password
from app.core.text import fold, text_key
from app.crud import audit as crud_audit
from app.crud.conditions import ACTOR, ACTORS_DEPARTMENT, values_of
from app.crud.department import settle_departments, spelling_of_department
from app.crud.free_username import drawn, get_taken, numbered
from app.crud.letter import send_verification, send_welcome, write_letter
from app.crud.listing import Listing, Page, get_page, public_columns
from app.crud.one_time_token import withdraw_tokens
from app.crud.password import store_password
from app.crud.records import refuse_outdated
from app.crud.session import end_sessions_of_all
from app.crud.user_policy import (
    default_quota,
    refuse_easy_password,
    refuse_forbidden_changes,
    refuse_forbidden_creation,
    refuse_unwritable_other,
)
from app.db.dialect import take_turns, upsert
from app.db.integrity import constraint_error
from app.models.indexes import present
from app.models.user import EMAIL_UNIQUE, USERNAME_UNIQUE, User
from app.schemas.letter import LetterTemplate
from app.schemas.listing import ListQuery
from app.schemas.user import UserCreate, UserPublic, UserUpdate


class UserNotFoundError(NotFoundError):
    code = "USER_NOT_FOUND"
    text = "There is no such user."


USERS: Final = Listing(
    model=User,
    columns=public_columns(User, UserPublic),
    searched=("email", "username", "full_name", "department"),
    alike=frozenset({"email", "username", "department"}),
    scopes={
        Scope.ALL: true(),
        Scope.DEPARTMENT: or_(User.department_folded == ACTORS_DEPARTMENT, User.id == ACTOR),
        Scope.OWN: User.id == ACTOR,
    },
    missing=UserNotFoundError,
    refuse_unwritable=refuse_unwritable_other,
    exported_as=User.audited_as,
    importable=select(
        User.email,
        User.username,
        User.full_name,
        User.department,
        User.role,
        User.is_active,
        User.is_verified,
        User.token_quota,
    ),
)


class EmailTakenError(ConflictError):
    code = "EMAIL_TAKEN"
    text = "This e-mail is already registered."
    field = "email"


class UsernameTakenError(ConflictError):
    code = "USERNAME_TAKEN"
    text = "This user name is already taken."
    field = "username"


class CurrentPasswordWrongError(PermissionDeniedError):
    code = "CURRENT_PASSWORD_WRONG"
    text = "The current password is missing or incorrect."
    field = "current_password"


class LastAdminError(ConflictError):
    code = "LAST_ADMIN"
    text = "This is the last active admin. Make another one first."


# Taken by whoever is about to make one admin fewer. Any number of our own.
ADMINS_LOCK: Final = 0x61646D6E
TAKEN: Final = {EMAIL_UNIQUE: EmailTakenError, USERNAME_UNIQUE: UsernameTakenError}


@dataclass(frozen=True, slots=True)
class Passwords:
    """The slow part of an update, done before a row is locked."""

    new_hash: str | None
    confirmed_hash: str | None  # The stored one, if the current password given was found to fit.


NO_PASSWORDS: Final = Passwords(new_hash=None, confirmed_hash=None)


def get_user_by_email(db: Session, *, email: str) -> User | None:
    return db.scalar(select(User).where(User.email == email))


def get_users(db: Session, *, query: ListQuery, actor: Principal) -> Page:
    scope, values = USERS.scopes[actor.scope], values_of(actor)
    return get_page(db, listing=USERS, query=query, scope=scope, values=values)


def get_departments(db: Session, *, q: str, limit: int, actor: Principal) -> Sequence[str | None]:
    """Return those whose name contains the text, each in one spelling, by name."""
    key = User.department_folded
    wanted = (USERS.visible_to(actor), key != "", key.contains(text_key(q), autoescape=True))
    named = select(spelling_of_department()).where(*wanted).group_by(key).order_by(key)
    return db.scalars(named.limit(limit)).all()


def has_active_admin(db: Session) -> bool:
    return db.scalar(select(User.id).where(_is_active_admin()).limit(1)) is not None


def create_user(
    db: Session,
    *,
    user_in: UserCreate,
    hashed_password: str | None,
    actor: Principal | None = None,
) -> User:
    """Create a user; without an actor (the command line) nothing is forbidden.

    Raises EmailTakenError, UsernameTakenError, PasswordTooEasyError, FieldsNotPermittedError,
    PermissionDeniedError.
    """
    values = new_user_values(user_in, actor) | {"hashed_password": hashed_password}
    if actor is None or values["department"] != actor.department:
        settle_departments(db, [values])
    if user_in.username is None:
        user = insert_with_free_username(db, values, password=user_in.password)
        if user is None:
            raise EmailTakenError
        event = crud_audit.creation(db, User, record_id=user.id, values=vars(user))
        crud_audit.write_events(db, [event])
    else:
        with taken_error(db, email=user_in.email):
            user = User(**values)
            db.add(user)
            db.flush()
    send_welcome(db, user=user)
    return user


def new_user_values(user_in: UserCreate, actor: Principal | None) -> dict[str, Any]:
    """Return what is stored of a new user, but for the password.

    Raises PasswordTooEasyError, FieldsNotPermittedError, PermissionDeniedError.
    """
    values = user_in.model_dump(exclude={"password"})
    if "token_quota" not in user_in.model_fields_set:
        del values["token_quota"]
    if actor is not None:
        given = user_in.department if "department" in user_in.model_fields_set else actor.department
        if actor.scope is Scope.DEPARTMENT and text_key(given or "") == actor.department_key:
            values["department"] = actor.department
        refuse_forbidden_creation(values, actor)
    values.setdefault("token_quota", default_quota(actor))
    values["username"] = user_in.username or username_of(user_in.email)
    if user_in.password is not None:
        refuse_easy_password(user_in.password, email=user_in.email, username=values["username"])
    return values


def check_passwords(
    db: Session, *, user_id: int, user_in: UserUpdate, actor: Principal
) -> str | None:
    """Refuse before hashing what would be refused after it, and return the stored hash.

    Raises UserNotFoundError, ChangedMeanwhileError, FieldsNotPermittedError,
    PermissionDeniedError, PasswordTooEasyError.
    """
    user = db.scalar(select(User).where(User.id == user_id, USERS.visible_to(actor)))
    if user is None:
        raise UserNotFoundError
    refuse_unwritable_other(user, actor)  # Or the versions would tell what has changed.
    refuse_outdated(db, User, vars(user), seen=user_in.version)
    refuse_forbidden_changes(user, user_in.changes_of(vars(user)), actor)
    if user_in.password is not None:
        refuse_easy_password(user_in.password, email=user.email, username=user.username)
    return user.hashed_password


def hash_passwords(user_in: UserUpdate, *, stored: str | None) -> Passwords:
    new, current = user_in.password, user_in.current_password
    is_right = None not in {current, stored} and verify_password(current or "", stored)
    return Passwords(
        new_hash=None if new is None else hash_password(new),
        confirmed_hash=stored if is_right else None,
    )


def update_user(
    db: Session, *, user: User, user_in: UserUpdate, actor: Principal, passwords: Passwords
) -> User:
    """Change the given fields; one sent with its present value is never a refusal.

    Raises ChangedMeanwhileError, FieldsNotPermittedError, PermissionDeniedError,
    CurrentPasswordWrongError, PasswordTooEasyError, LastAdminError, EmailTakenError,
    UsernameTakenError.
    """
    refuse_outdated(db, User, vars(user), seen=user_in.version)
    changes = user_in.changes_of(vars(user))
    refuse_forbidden_changes(user, changes, actor)
    if "email" in changes and user.id == actor.id:
        _refuse_unconfirmed(user, passwords)
        changes["is_verified"] = False
    refuse_losing_last_admin(db, user, changes)
    _refuse_easy_change(user, changes)

    settle_departments(db, [changes], beside=[user.id])
    old_email = user.email
    for name, value in changes.items():
        if name != "password":
            setattr(user, name, value)
    with taken_error(db, email=changes.get("email")):
        db.flush()
    if passwords.new_hash is not None:
        must_change = user.must_change_password
        store_password(db, user=user, hashed_password=passwords.new_hash, must_change=must_change)
    if "email" in changes:
        follow_email(db, user, old_email=old_email)
    if changes.get("is_active") is False:
        shut_out(db, user_ids=[user.id])
    return user


def _refuse_unconfirmed(user: User, passwords: Passwords) -> None:
    """Raises CurrentPasswordWrongError, also where the password has changed meanwhile."""
    if passwords.confirmed_hash is None or passwords.confirmed_hash != user.hashed_password:
        raise CurrentPasswordWrongError


def _refuse_easy_change(user: User, changes: Mapping[str, Any]) -> None:
    """Raises PasswordTooEasyError."""
    if "password" in changes:
        email, username = (changes.get(name, getattr(user, name)) for name in ("email", "username"))
        refuse_easy_password(changes["password"], email=email, username=username)


def follow_email(db: Session, user: User, *, old_email: str) -> None:
    """Links that went to the old address are dead; whoever reads it learns of the change, unless it
    never was more than an invitation.
    """
    withdraw_tokens(db, user_ids=[user.id])
    if user.hashed_password is None:
        send_welcome(db, user=user)
    elif user.is_active:
        write_letter(
            db,
            user=user,
            template=LetterTemplate.EMAIL_CHANGED,
            recipient=old_email,
            new_email=user.email,
        )
        if not user.is_verified:
            send_verification(db, user=user)


def shut_out(db: Session, *, user_ids: Collection[int]) -> None:
    """End every session, and every link in a letter. Whoever does so holds the users' rows."""
    end_sessions_of_all(db, user_ids=user_ids)
    withdraw_tokens(db, user_ids=user_ids)


def delete_user(db: Session, *, user: User) -> None:
    """Delete softly. Raises LastAdminError."""
    refuse_losing_last_admin(db, user, {"is_active": False})
    user.deleted_at = utc_now()
    db.flush()
    shut_out(db, user_ids=[user.id])


@contextmanager
def taken_error(
    db: Session, *, email: str | None, errors: Mapping[str, Callable[[], DomainError]] = TAKEN
) -> Iterator[None]:
    """Of an e-mail and a user name that are both taken, tell the e-mail: a database names the one
    whose index it has looked into first. Raises EmailTakenError, UsernameTakenError.
    """
    try:
        with constraint_error(errors):
            yield
    except UsernameTakenError as error:
        if email is not None:
            db.rollback()  # PostgreSQL answers nothing more in a transaction that has failed.
            if get_user_by_email(db, email=email) is not None:
                raise EmailTakenError(fields=None if error.fields else {}) from error
        raise


def username_of(email: str) -> str:
    """Make 3 to 44 lawful characters of an e-mail's local part."""
    return re.sub(r"[^a-z0-9._-]", "", email.partition("@")[0])[:44].ljust(3, "_")


def insert_with_free_username(
    db: Session, values: dict[str, Any], *, password: str | None
) -> User | None:
    """Take the first free name; whoever takes it meanwhile makes us try the next. Return None where
    the e-mail is taken, after the same statements. The caller notes the creation.
    """
    wanted = values["username"]
    taken = get_taken(db, User.username, names=numbered(wanted))
    for name in chain(numbered(wanted), drawn(wanted)):
        if name in taken or (password is not None and name == fold(password)):
            continue
        row = upsert(db, User).values(values | {"username": name})
        row = row.on_conflict_do_nothing(index_elements=[User.email], index_where=present)
        try:
            with db.begin_nested(), constraint_error(TAKEN):
                return db.scalar(row.returning(User))
        except UsernameTakenError:
            continue
    raise AssertionError("the names never end")


def _is_active_admin() -> ColumnElement[bool]:
    return and_(User.role == Role.ADMIN, User.is_active)


def refuse_losing_last_admin(db: Session, user: User, changes: Mapping[str, Any]) -> None:
    """Raises LastAdminError."""
    if is_losing_admin(user, changes) and not has_admin_beside(db, user_ids=[user.id]):
        raise LastAdminError


def is_losing_admin(user: User, changes: Mapping[str, Any]) -> bool:
    is_admin = user.role == Role.ADMIN and user.is_active and user.deleted_at is None
    stays_admin = changes.get("role", user.role) == Role.ADMIN and changes.get("is_active", True)
    return is_admin and not (stays_admin and changes.get("deleted_at") is None)


def has_admin_beside(db: Session, *, user_ids: Collection[int]) -> bool:
    """Tell whether there is an active admin beside these, who are about to be none any more. Two
    who demote each other take turns, and the second sees what the first has done.
    """
    take_turns(db, lock=ADMINS_LOCK)
    others = select(User.id).where(_is_active_admin(), User.id.not_in(user_ids)).limit(1)
    return db.scalar(others) is not None
