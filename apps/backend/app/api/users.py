"""What a path names: the user whom a route shows, changes, restores or deletes."""

from typing import Annotated

from fastapi import Depends

from app.api.deps import CurrentUser, DbSession, Purge, UserId
from app.api.etags import ExpectedVersions, tag_of
from app.core.errors import PermissionDeniedError
from app.core.permissions import Permission
from app.crud import usage as crud_usage
from app.crud import user as crud_user
from app.crud.listing import Record
from app.crud.records import get_record, lock_record
from app.models.user import User


def get_visible_user(user_id: UserId, db: DbSession, actor: CurrentUser) -> Record:
    if user_id == actor.id:
        return actor.profile
    return get_record(db, crud_user.USERS, record_id=user_id, actor=actor)


def get_locked_user(
    user_id: UserId, db: DbSession, actor: CurrentUser, expected: ExpectedVersions
) -> User:
    return lock_record(db, crud_user.USERS, record_id=user_id, actor=actor, expected=expected)


def get_locked_me(db: DbSession, actor: CurrentUser, expected: ExpectedVersions) -> User:
    return get_locked_user(actor.id, db, actor, expected)


def get_user_to_restore(
    user_id: UserId, db: DbSession, actor: CurrentUser, expected: ExpectedVersions
) -> User:
    return lock_record(
        db, crud_user.USERS, record_id=user_id, actor=actor, in_trash=True, expected=expected
    )


def get_user_to_delete(
    user_id: UserId,
    db: DbSession,
    actor: CurrentUser,
    expected: ExpectedVersions,
    purge: Purge = False,
) -> User:
    if purge and not actor.may(Permission.USERS_PURGE):
        raise PermissionDeniedError
    return lock_record(
        db,
        crud_user.USERS,
        record_id=user_id,
        actor=actor,
        in_trash=purge,
        for_good=purge,
        expected=expected,
    )


def get_visible_or_deleted_user(user_id: UserId, db: DbSession, actor: CurrentUser) -> Record:
    """Who may restore a user sees them in the trash as well."""
    in_trash = actor.may(Permission.USERS_WRITE)
    return get_record(db, crud_user.USERS, record_id=user_id, actor=actor, in_trash=in_trash)


def get_visible_user_stats(user_id: UserId, db: DbSession, actor: CurrentUser) -> Record:
    return crud_usage.get_user_stats(db, user_id=user_id, actor=actor)


VisibleUser = Annotated[Record, Depends(get_visible_user)]
VisibleOrDeletedUser = Annotated[Record, Depends(get_visible_or_deleted_user)]
VisibleUserStats = Annotated[Record, Depends(get_visible_user_stats)]
LockedUser = Annotated[User, Depends(get_locked_user)]
UserToRestore = Annotated[User, Depends(get_user_to_restore)]
UserToDelete = Annotated[User, Depends(get_user_to_delete)]
LockedMe = Annotated[User, Depends(get_locked_me)]


def tag_of_record(user: Record) -> str:
    return tag_of(user["version"], user["last_login_at"])


def tag_of_user(user: User) -> str:
    return tag_of(user.version, user.last_login_at)
