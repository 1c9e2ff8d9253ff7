"""Users by the thousand: the rules of `create_user`, in a handful of statements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.permissions import Principal
from app.crud import user as crud_user
from app.crud.batch import VALUES_AT_ONCE, in_batches
from app.crud.bulk import insert_rows
from app.crud.free_username import free_usernames, get_taken_usernames
from app.crud.letter import send_welcomes
from app.crud.listing import Record
from app.crud.refusals import Refusals
from app.db.integrity import ContendedError, constraint_error
from app.models.user import User
from app.schemas.user import UserCreate

RUNS: Final = 3  # Of an insertion that others got ahead of, with the same names.


class EmailRepeatedError(crud_user.EmailTakenError):
    text = "This e-mail stands in an earlier row too."


class UsernameRepeatedError(crud_user.UsernameTakenError):
    text = "This user name stands in an earlier row too."


@dataclass(frozen=True, slots=True)
class NewUser:
    """A row of the request. Without a name of its own, `values` holds what the name is made of."""

    index: int
    values: dict[str, Any]
    is_named: bool
    password: str | None = None


@dataclass(frozen=True, slots=True)
class SeenNames:
    """What earlier rows of the request have."""

    emails: set[str] = field(default_factory=set)
    usernames: set[str] = field(default_factory=set)


def create_users(
    db: Session,
    *,
    users_in: Sequence[UserCreate],
    hashed_passwords: Sequence[str | None],
    actor: Principal,
) -> Sequence[Record]:
    """Create all of the users, or none. Raises what `create_user` does, or BulkRefusedError."""
    refusals = Refusals(under="items")
    rows = _new_users(users_in, actor, refusals)
    for row in rows:
        row.values["hashed_password"] = hashed_passwords[row.index]
    refuse_taken(db, rows=rows, refusals=refusals)
    refusals.raise_any()
    ids = insert_users(db, rows=rows, refusals=refusals)
    found = db.execute(crud_user.USERS.select.where(User.id.in_(ids))).mappings()
    records = {record["id"]: record for record in found}
    return [records[user_id] for user_id in ids]


def check_new_users(users_in: Sequence[UserCreate], *, actor: Principal) -> None:
    """Refuse before passwords are hashed what needs no look at the database."""
    refusals = Refusals(under="items")
    _new_users(users_in, actor, refusals)
    refusals.raise_any()


def _new_users(
    users_in: Sequence[UserCreate], actor: Principal, refusals: Refusals
) -> Sequence[NewUser]:
    rows = []
    seen = SeenNames()
    for index, user_in in enumerate(users_in):
        email, username = user_in.email, user_in.username
        refuse_repeated(index, email=email, username=username, seen=seen, refusals=refusals)
        with refusals.of_row(index):
            values = crud_user.new_user_values(user_in, actor)
            is_named = username is not None
            rows.append(NewUser(index, values, is_named=is_named, password=user_in.password))
    return rows


def refuse_repeated(
    index: int, *, email: str | None, username: str | None, seen: SeenNames, refusals: Refusals
) -> None:
    if email in seen.emails:
        refusals.add(index, EmailRepeatedError())
    if username in seen.usernames:
        refusals.add(index, UsernameRepeatedError())
    seen.emails.update(() if email is None else (email,))
    seen.usernames.update(() if username is None else (username,))


def refuse_taken(db: Session, *, rows: Sequence[NewUser], refusals: Refusals) -> None:
    emails = get_taken_emails(db, emails=[row.values["email"] for row in rows])
    named = [row for row in rows if row.is_named]
    usernames = get_taken_usernames(db, names=[row.values["username"] for row in named])
    for row in rows:
        if row.values["email"] in emails:
            refusals.add(row.index, crud_user.EmailTakenError())
        if row.is_named and row.values["username"] in usernames:
            refusals.add(row.index, crud_user.UsernameTakenError())


def get_taken_emails(db: Session, *, emails: Sequence[str]) -> set[str]:
    batches = in_batches(emails, size=VALUES_AT_ONCE)
    statements = (select(User.email).where(User.email.in_(batch)) for batch in batches)
    return {email for statement in statements for email in db.scalars(statement)}


def insert_users(
    db: Session,
    *,
    rows: Sequence[NewUser],
    refusals: Refusals,
    reserved: Iterable[str] = (),
) -> Sequence[int]:
    """Insert the rows, and write their letters. Whoever takes a name meanwhile makes us look again.

    Raises EmailTakenError, UsernameTakenError, BulkRefusedError, ContendedError.
    """
    for _ in range(RUNS):
        users = _with_usernames(db, rows, reserved)
        try:
            with db.begin_nested(), constraint_error(crud_user.TAKEN):
                ids = insert_rows(db, model=User, rows=users)
        except (crud_user.EmailTakenError, crud_user.UsernameTakenError):
            refuse_taken(db, rows=rows, refusals=refusals)
            refusals.raise_any()
        else:
            new = [user | {"id": user_id} for user, user_id in zip(users, ids, strict=True)]
            send_welcomes(db, users=new)
            return ids
    raise ContendedError


def _with_usernames(
    db: Session, rows: Sequence[NewUser], reserved: Iterable[str]
) -> Sequence[dict[str, Any]]:
    named = {row.values["username"] for row in rows if row.is_named}
    nameless = [row for row in rows if not row.is_named]
    names = free_usernames(
        db,
        wanted={row.index: row.values["username"] for row in nameless},
        unwanted={row.index: row.password.lower() for row in nameless if row.password},
        reserved=named.union(reserved),
    )
    return [row.values | {"username": names.get(row.index, row.values["username"])} for row in rows]
