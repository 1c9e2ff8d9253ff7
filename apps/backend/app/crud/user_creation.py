"""Users by the thousand: the rules of `create_user`, in a handful of statements."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from app.core.permissions import Principal
from app.core.text import fold
from app.crud import user as crud_user
from app.crud.bulk import insert_rows
from app.crud.chosen import get_records
from app.crud.department import settle_departments
from app.crud.free_username import free_usernames, get_taken
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

    @property
    def names(self) -> Mapping[str, Any]:
        """What must be unique of what the request has given."""
        names = ("email", "username") if self.is_named else ("email",)
        return {name: self.values[name] for name in names}


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
    refuse_taken(db, names={row.index: row.names for row in rows}, refusals=refusals)
    refusals.raise_any()
    ids = insert_users(db, rows=rows, refusals=refusals)
    return get_records(db, listing=crud_user.USERS, ids=ids)


def check_new_users(users_in: Sequence[UserCreate], *, actor: Principal) -> None:
    """Refuse before passwords are hashed what needs no look at the database."""
    refusals = Refusals(under="items")
    _new_users(users_in, actor, refusals)
    refusals.raise_any()


def _new_users(
    users_in: Sequence[UserCreate], actor: Principal, refusals: Refusals
) -> Sequence[NewUser]:
    rows = []
    seen: set[str] = set()
    for index, user_in in enumerate(users_in):
        refuse_repeated(index, vars(user_in), seen=seen, refusals=refusals)
        with refusals.of_row(index):
            values = crud_user.new_user_values(user_in, actor)
            is_named = user_in.username is not None
            rows.append(NewUser(index, values, is_named=is_named, password=user_in.password))
    return rows


def refuse_repeated(
    index: int, row: Mapping[str, Any], *, seen: set[str], refusals: Refusals
) -> None:
    """`seen` are e-mails and user names of earlier rows. No user name holds an @."""
    errors = {"email": EmailRepeatedError, "username": UsernameRepeatedError}
    given = {name: row[name] for name in errors if row.get(name) is not None}
    for name, value in given.items():
        if value in seen:
            refusals.add(index, errors[name]())
    seen.update(given.values())


def refuse_taken(
    db: Session, *, names: Mapping[int, Mapping[str, Any]], refusals: Refusals
) -> None:
    """`names` are the e-mail and the user name of a row, where it has such."""
    errors = {User.email: crud_user.EmailTakenError, User.username: crud_user.UsernameTakenError}
    for column, error in errors.items():
        given = {index: row[column.key] for index, row in names.items() if column.key in row}
        taken = get_taken(db, column, names=given.values())
        for index, name in given.items():
            if name in taken:
                refusals.add(index, error())


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
    settle_departments(db, [row.values for row in rows])
    for _ in range(RUNS):
        users = _with_usernames(db, rows, reserved)
        try:
            with db.begin_nested(), constraint_error(crud_user.TAKEN):
                ids = insert_rows(db, model=User, rows=users)
        except (crud_user.EmailTakenError, crud_user.UsernameTakenError):
            refuse_taken(db, names={row.index: row.names for row in rows}, refusals=refusals)
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
        unwanted={row.index: fold(row.password) for row in nameless if row.password},
        reserved=named.union(reserved),
    )
    return [row.values | {"username": names.get(row.index, row.values["username"])} for row in rows]
