"""Users from a file: new ones by the rules of `create_user`, others by those of `update_user`."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from pydantic_core import PydanticCustomError
from sqlalchemy.orm import Session

from app.core.permissions import Principal
from app.crud import user as crud_user
from app.crud.free_username import get_taken
from app.crud.importing import Chunk, Importer, Importing, Values, given_id, lock_records
from app.crud.user_bulk import change_users
from app.crud.user_creation import (
    NewUser,
    insert_users,
    refuse_repeated,
    refuse_taken,
)
from app.models.user import User
from app.schemas.imports import OnConflict
from app.schemas.user import UserImport, normalise_email

Rows = Chunk[UserImport, User]


class UserRepeatedError(crud_user.EmailTakenError):
    text = "This user stands in an earlier row too."


def import_users(
    db: Session, *, chunks: Iterable[Rows], importing: Importing, actor: Principal
) -> None:
    reserved = importing.file.texts_of("username")  # For no row without a name of its own.
    seen: set[str] = set()
    for chunk in chunks:
        for index, row in chunk.rows.items():
            record = chunk.present.get(index)
            names = vars(row) if record is None else row.differences(vars(record))
            refuse_repeated(index, names, seen=seen, refusals=chunk.refusals)
        _create(db, chunk, reserved, importing, actor)
        rows = chunk.to_update(
            importing, exists=crud_user.EmailTakenError, repeated=UserRepeatedError
        )
        _update(db, chunk, rows, importing, actor)
        importing.refusals.take(chunk.refusals)


def find_users(db: Session, rows: Mapping[int, Values], *, actor: Principal) -> Mapping[int, User]:
    """Lock the users that rows name, by `id` or else by e-mail; return them by the row's index."""
    ids = {index: given_id(values) for index, values in rows.items()}
    emails = {index: _email_of(rows[index]) for index, one in ids.items() if one is None}
    scope = crud_user.USERS.visible_to(actor)
    by_id = lock_records(db, key=User.id, wanted=ids, scope=scope)
    return by_id | lock_records(db, key=User.email, wanted=emails, scope=scope)


def _email_of(values: Values) -> str | None:
    """What is no address today may be one that an older release has stored."""
    email = values.get("email")
    if not isinstance(email, str):
        return None
    try:
        return normalise_email(email.strip())
    except PydanticCustomError:
        return email


def _create(
    db: Session, chunk: Rows, reserved: set[str], importing: Importing, actor: Principal
) -> None:
    rows = chunk.to_create(crud_user.UserNotFoundError)
    # Also of users whom the actor does not see.
    emails = get_taken(db, User.email, names=[row.email for row in rows.values() if row.email])
    named = [row.username for row in rows.values() if row.username]
    names = get_taken(db, User.username, names=named)
    new = []
    for index, row in rows.items():
        if row.email in emails and importing.on_conflict is OnConflict.SKIP:
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
        insert_users(db, rows=new, refusals=refusals, reserved=reserved)
        importing.created += len(new)


def _update(
    db: Session,
    chunk: Rows,
    rows: Mapping[int, UserImport],
    importing: Importing,
    actor: Principal,
) -> None:
    changes = {index: row.changes_of(vars(chunk.present[index])) for index, row in rows.items()}
    refuse_taken(db, names=changes, refusals=chunk.refusals)
    free = chunk.without_refused(changes)
    chunk.update(importing, free, partial(change_users, db, actor=actor))


USER_IMPORTER: Final = Importer(UserImport, find_users, import_users)
