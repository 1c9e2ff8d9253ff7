"""Users from a file: new ones by the rules of `create_user`, others by those of `update_user`."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.permissions import Principal
from app.crud import user as crud_user
from app.crud.bulk import Changes
from app.crud.chosen import Chosen
from app.crud.free_username import get_taken_usernames
from app.crud.importing import Chunk, Importing
from app.crud.user_bulk import change_users
from app.crud.user_creation import (
    NewUser,
    SeenNames,
    get_taken_emails,
    insert_users,
    refuse_repeated,
    refuse_taken,
)
from app.models.user import User
from app.schemas.imports import OnConflict
from app.schemas.user import UserImport

Rows = Mapping[int, UserImport]  # By their index.


def import_users(
    db: Session,
    *,
    chunks: Iterable[Chunk[UserImport]],
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
        rows = _first_ones(chunk, seen)
        known = get_taken_emails(db, emails=[row.email for row in rows.values()])
        new = {index: row for index, row in rows.items() if row.email not in known}
        _create(db, chunk, new, usernames, importing, actor)
        there = {index: row for index, row in rows.items() if row.email in known}
        match on_conflict:
            case OnConflict.ERROR:
                for index, row in there.items():
                    with chunk.refusals.of_row(index):
                        row.changes_of({})
                        raise crud_user.EmailTakenError
            case OnConflict.SKIP:
                importing.skipped += len(there)
            case OnConflict.UPDATE:
                _update(db, chunk, there, importing, actor)
        importing.refusals.take(chunk.refusals)
    return importing


def _first_ones(chunk: Chunk[UserImport], seen: SeenNames) -> Rows:
    """Leave out rows with the e-mail or the user name of an earlier one."""
    for index, row in chunk.rows.items():
        refuse_repeated(
            index, email=row.email, username=row.username, seen=seen, refusals=chunk.refusals
        )
    return {index: row for index, row in chunk.rows.items() if index not in chunk.refusals}


def _create(
    db: Session,
    chunk: Chunk[UserImport],
    rows: Rows,
    usernames: set[str],
    importing: Importing,
    actor: Principal,
) -> None:
    new = []
    for index, row in rows.items():
        with chunk.refusals.of_row(index):
            values = crud_user.new_user_values(row.creation(), actor) | {"hashed_password": None}
            new.append(NewUser(index, values, is_named=row.username is not None))
    refuse_taken(db, rows=new, refusals=chunk.refusals)
    new = [row for row in new if row.index not in chunk.refusals]
    with chunk.refusals.step() as refusals:
        insert_users(db, rows=new, refusals=refusals, reserved=usernames)
        importing.created += len(new)


def _update(
    db: Session, chunk: Chunk[UserImport], rows: Rows, importing: Importing, actor: Principal
) -> None:
    by_email = {row.email: index for index, row in rows.items()}
    wanted = select(User).where(User.email.in_(by_email), crud_user.visible_to(actor))
    users = db.scalars(wanted.order_by(User.id).with_for_update(key_share=True)).all()
    places = {user.id: by_email[user.email] for user in users}
    for index in set(by_email.values()).difference(places.values()):
        chunk.refusals.add(index, crud_user.EmailTakenError())
    changes = {}
    for user in users:
        with chunk.refusals.of_row(places[user.id]):
            changes[user.id] = rows[places[user.id]].changes_of(vars(user))
    changed = [user for user in users if changes.get(user.id)]
    importing.skipped += len(changes) - len(changed)
    free = _with_free_names(db, chunk, changed, changes, places)
    with chunk.refusals.step() as refusals:
        change_users(db, chosen=Chosen(free, refusals, places), changes=changes, actor=actor)
        importing.updated += len(free)


def _with_free_names(
    db: Session,
    chunk: Chunk[UserImport],
    users: Sequence[User],
    changes: Changes,
    places: Mapping[int, int],
) -> Sequence[User]:
    """Leave out those who are given the user name of another."""
    wanted = {user.id: changes[user.id].get("username", user.username) for user in users}
    renamed = [user for user in users if wanted[user.id] != user.username]
    taken = get_taken_usernames(db, names=[wanted[user.id] for user in renamed])
    refused = {user.id for user in renamed if wanted[user.id] in taken}
    for user_id in refused:
        chunk.refusals.add(places[user_id], crud_user.UsernameTakenError())
    return [user for user in users if user.id not in refused]
