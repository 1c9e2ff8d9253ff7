"""Users from a file: new ones by the rules of `create_user`, others by those of `update_user`."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic_core import PydanticCustomError
from sqlalchemy.orm import Session

from app.core.permissions import Principal
from app.crud import user as crud_user
from app.crud.bulk import Changes, differences
from app.crud.chosen import Chosen
from app.crud.free_username import get_taken_usernames
from app.crud.importing import Chunk, Importing, Values, given_id, lock_records
from app.crud.user_bulk import change_users
from app.crud.user_creation import (
    NewUser,
    SeenNames,
    get_taken_emails,
    insert_users,
    refuse_repeated,
)
from app.models.user import User
from app.schemas.imports import OnConflict
from app.schemas.user import UserImport, normalise_email

Rows = Chunk[UserImport, User]


class UserRepeatedError(crud_user.EmailTakenError):
    text = "This user stands in an earlier row too."


def import_users(
    db: Session,
    *,
    chunks: Iterable[Rows],
    usernames: set[str],
    on_conflict: OnConflict,
    actor: Principal,
) -> Importing:
    """Write what can be written, and tell of the rest; whoever has asked undoes all or nothing.

    `usernames` are those that stand anywhere in the file: none is given to a row without one.
    """
    importing = Importing()
    seen = SeenNames()
    for chunk in chunks:
        for index, row in chunk.rows.items():
            refuse_repeated(
                index, email=row.email, username=row.username, seen=seen, refusals=chunk.refusals
            )
        _create(db, chunk, usernames, importing, on_conflict, actor)
        rows = chunk.to_update(
            importing, on_conflict, exists=crud_user.EmailTakenError, repeated=UserRepeatedError
        )
        _update(db, chunk, rows, importing, actor)
        importing.refusals.take(chunk.refusals)
    return importing


def find_users(db: Session, rows: Mapping[int, Values], *, actor: Principal) -> Mapping[int, User]:
    """Lock the users that rows name, by `id` or else by e-mail; return them by the row's index."""
    ids = {index: given_id(values) for index, values in rows.items()}
    emails = {index: _email_of(rows[index]) for index, one in ids.items() if one is None}
    scope = crud_user.visible_to(actor)
    by_id = lock_records(db, key=User.id, wanted=ids, scope=scope)
    return by_id | lock_records(db, key=User.email, wanted=emails, scope=scope)


def _email_of(values: Values) -> str | None:
    try:
        return normalise_email(str(values.get("email")).strip())
    except PydanticCustomError:
        return None


def _create(
    db: Session,
    chunk: Rows,
    usernames: set[str],
    importing: Importing,
    on_conflict: OnConflict,
    actor: Principal,
) -> None:
    rows = chunk.to_create(crud_user.UserNotFoundError)
    # Also of users whom the actor does not see.
    emails = get_taken_emails(db, emails=[row.email for row in rows.values() if row.email])
    names = get_taken_usernames(db, names=[row.username for row in rows.values() if row.username])
    new = []
    for index, row in rows.items():
        if row.email in emails and on_conflict is OnConflict.SKIP:
            importing.skipped += 1
            continue
        with chunk.refusals.of_row(index):
            if row.email in emails:
                raise crud_user.EmailTakenError
            if row.username in names:
                raise crud_user.UsernameTakenError
            values = crud_user.new_user_values(row.creation(), actor) | {"hashed_password": None}
            new.append(NewUser(index, values, is_named=row.username is not None))
    with chunk.refusals.step() as refusals:
        insert_users(db, rows=new, refusals=refusals, reserved=usernames)
        importing.created += len(new)


def _update(
    db: Session,
    chunk: Rows,
    rows: Mapping[int, UserImport],
    importing: Importing,
    actor: Principal,
) -> None:
    users = {index: chunk.present[index] for index in rows}
    changes = {users[index].id: row.changes() for index, row in rows.items()}
    places = {user.id: index for index, user in users.items()}
    changed = [user for user in users.values() if differences(user, changes[user.id])]
    importing.skipped += len(users) - len(changed)
    free = _with_free_names(db, chunk, changed, changes, places)
    with chunk.refusals.step() as refusals:
        change_users(db, chosen=Chosen(free, refusals, places), changes=changes, actor=actor)
        importing.updated += len(free)


def _with_free_names(
    db: Session,
    chunk: Rows,
    users: Sequence[User],
    changes: Changes,
    places: Mapping[int, int],
) -> Sequence[User]:
    """Leave out those who are given the e-mail or the user name of another."""
    new = {user.id: differences(user, changes[user.id]) for user in users}
    emails = get_taken_emails(db, emails=[one["email"] for one in new.values() if "email" in one])
    names = [one["username"] for one in new.values() if "username" in one]
    usernames = get_taken_usernames(db, names=names)
    for user_id, values in new.items():
        if values.get("email") in emails:
            chunk.refusals.add(places[user_id], crud_user.EmailTakenError())
        if values.get("username") in usernames:
            chunk.refusals.add(places[user_id], crud_user.UsernameTakenError())
    return [user for user in users if places[user.id] not in chunk.refusals]
