"""What a path names: the user whom a route shows, changes, restores or deletes."""

from typing import Annotated

from fastapi import Depends

from app.api.deps import CurrentUser, DbSession, Purge, UserId
from app.api.etags import ExpectedVersions, tag_of
from app.core.errors import PermissionDeniedError
from app.core.permissions import Permission, Principal
from app.crud import usage as crud_usage
from app.crud import user as crud_user
from app.crud.listing import Record
from app.crud.records import get_record, lock_record, refuse_changed
from app.crud.user_policy import refuse_unwritable
from app.models.user import User


def get_visible_user(user_id: UserId, db: DbSession, actor: CurrentUser) -> Record:
    if user_id == actor.id:
        return actor.profile
    return get_record(db, crud_user.USERS, record_id=user_id, actor=actor)


def get_locked_user(
    user_id: UserId, db: DbSession, actor: CurrentUser, expected: ExpectedVersions
) -> User:
    user = lock_record(db, crud_user.USERS, record_id=user_id, actor=actor)
    return _as_expected(db, user, actor, expected)


def get_locked_me(db: DbSession, actor: CurrentUser, expected: ExpectedVersions) -> User:
    return get_locked_user(actor.id, db, actor, expected)


def get_user_to_restore(
    user_id: UserId, db: DbSession, actor: CurrentUser, expected: ExpectedVersions
) -> User:
    user = lock_record(db, crud_user.USERS, record_id=user_id, actor=actor, in_trash=True)
    return _as_expected(db, user, actor, expected)


def get_user_to_delete(
    user_id: UserId,
    db: DbSession,
    actor: CurrentUser,
    expected: ExpectedVersions,
    purge: Purge = False,
) -> User:
    if purge and not actor.may(Permission.USERS_PURGE):
        raise PermissionDeniedError
    user = lock_record(
        db, crud_user.USERS, record_id=user_id, actor=actor, in_trash=purge, for_good=purge
    )
    return _as_expected(db, user, actor, expected)


def _as_expected(
    db: DbSession, user: User, actor: Principal, expected: frozenset[int] | None
) -> User:
    """Who may not write a user is not told either what has changed on them."""
    if user.id != actor.id:
        refuse_unwritable(user, actor)
    refuse_changed(db, user, expected=expected)
    return user


def get_visible_or_deleted_user(user_id: UserId, db: DbSession, actor: CurrentUser) -> Record:
    """Who may restore a user sees them in the trash as well."""
    in_trash = actor.may(Permission.USERS_WRITE)
    return get_record(db, crud_user.USERS, record_id=user_id, actor=actor, in_trash=in_trash)


def get_visible_user_stats(user_id: UserId, db: DbSession, actor: CurrentUser) -> Record:
    record = crud_usage.get_user_stats(db, user_id=user_id, actor=actor)
    if record is None:
        raise crud_user.UserNotFoundError
    return record


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
