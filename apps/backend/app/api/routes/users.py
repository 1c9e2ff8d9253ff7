from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from app.api.answers import answer_deleted, name_location
from app.api.credentials import (
    HashedPasswords,
    MyHashedPasswords,
    NewHashedPassword,
    hash_new_password,
)
from app.api.deps import (
    CurrentUser,
    DbSession,
    Id,
    Purge,
    SignedInUser,
    just_signed_in,
    requires,
    signed_in,
)
from app.api.dry_run import rehearsable
from app.api.idempotency import idempotent
from app.api.listing import ListParameters
from app.api.pages import answer_page
from app.api.problems import CREATE_ANSWERS, LIST_ANSWERS, delete_answers, problems
from app.api.routing import Router
from app.core.errors import PermissionDeniedError
from app.core.permissions import Permission
from app.crud import auth as crud_auth
from app.crud import item as crud_item
from app.crud import session as crud_session
from app.crud import usage as crud_usage
from app.crud import user as crud_user
from app.crud import user_trash as crud_user_trash
from app.crud.listing import Record
from app.models.user import User
from app.schemas.auth import SessionPublic
from app.schemas.item import ItemPublic
from app.schemas.listing import ListQuery
from app.schemas.usage import UserWithStats
from app.schemas.user import Count, UserCreate, UserImpact, UserPermissions, UserPublic, UserUpdate

router = Router(prefix="/users", tags=["users"])

user_list = ListParameters(UserPublic, trash_for=Permission.USERS_WRITE)
item_list = ListParameters(ItemPublic, trash_for=Permission.ITEMS_WRITE)
UserListQuery = Annotated[ListQuery, Depends(user_list)]
ItemListQuery = Annotated[ListQuery, Depends(item_list)]


def get_visible_user(user_id: Id, db: DbSession, actor: CurrentUser) -> Record:
    if user_id == actor.id:
        return actor.profile
    record = crud_user.get_user_record(db, user_id=user_id, actor=actor)
    if record is None:
        raise crud_user.UserNotFoundError
    return record


def get_locked_user(user_id: Id, db: DbSession, actor: CurrentUser) -> User:
    user = crud_user.get_user_for_update(db, user_id=user_id, actor=actor)
    if user is None:
        raise crud_user.UserNotFoundError
    return user


def get_user_to_restore(user_id: Id, db: DbSession, actor: CurrentUser) -> User:
    user = crud_user.get_user_or_deleted_for_update(db, user_id=user_id, actor=actor)
    if user is None:
        raise crud_user.UserNotFoundError
    return user


def get_user_to_delete(
    user_id: Id, db: DbSession, actor: CurrentUser, purge: Purge = False
) -> User:
    if not purge:
        return get_locked_user(user_id, db, actor)
    if not actor.may(Permission.USERS_PURGE):
        raise PermissionDeniedError
    user = crud_user.get_user_or_deleted_for_update(db, user_id=user_id, actor=actor, for_good=True)
    if user is None:
        raise crud_user.UserNotFoundError
    return user


def get_locked_me(db: DbSession, actor: CurrentUser) -> User:
    return get_locked_user(actor.id, db, actor)


def get_visible_user_stats(user_id: Id, db: DbSession, actor: CurrentUser) -> Record:
    record = crud_usage.get_user_stats(db, user_id=user_id, actor=actor)
    if record is None:
        raise crud_user.UserNotFoundError
    return record


VisibleUser = Annotated[Record, Depends(get_visible_user)]
VisibleUserStats = Annotated[Record, Depends(get_visible_user_stats)]
LockedUser = Annotated[User, Depends(get_locked_user)]
UserToRestore = Annotated[User, Depends(get_user_to_restore)]
UserToDelete = Annotated[User, Depends(get_user_to_delete)]
LockedMe = Annotated[User, Depends(get_locked_me)]


@router.get("/me", response_model=UserPublic, dependencies=[just_signed_in])
def get_me(actor: SignedInUser) -> Record:
    """Show who is signed in."""
    return actor.profile


# `passwords` stands before the locked row: dependencies run in this order, and no row stays
# locked while a password is hashed.
@router.patch(
    "/me", response_model=UserPublic, responses=problems(409), dependencies=[signed_in, rehearsable]
)
@router.put(
    "/me",
    response_model=UserPublic,
    responses=problems(409),
    dependencies=[signed_in, rehearsable],
    operation_id="replace_me",
)
def update_me(
    passwords: MyHashedPasswords,
    db: DbSession,
    actor: CurrentUser,
    me: LockedMe,
    user_in: UserUpdate,
) -> User:
    """Change your own profile; the rest stays as it is.

    A new e-mail needs `current_password` beside it, and verification. Role, department, quota and
    activity are set by others.
    """
    return crud_user.update_user(db, user=me, user_in=user_in, actor=actor, passwords=passwords)


@router.delete(
    "/me",
    status_code=204,
    responses=delete_answers(UserPublic) | problems(409),
    dependencies=[signed_in, rehearsable],
)
def delete_me(request: Request, db: DbSession, actor: CurrentUser, me: LockedMe) -> Response:
    """Delete your own account. The last active admin stays."""
    crud_user.delete_user(db, user=me, actor=actor)
    return answer_deleted(request, me, UserPublic)


@router.get("/me/permissions", response_model=UserPermissions, dependencies=[just_signed_in])
def get_my_permissions(actor: SignedInUser) -> UserPermissions:
    """Tell what a panel may show to whom is signed in."""
    return UserPermissions(
        role=actor.role,
        permissions=sorted(actor.permissions),
        must_change_password=actor.must_change_password,
    )


@router.get(
    "/",
    response_model=list[UserPublic],
    responses=LIST_ANSWERS,
    dependencies=[requires(Permission.USERS_READ)],
    openapi_extra=user_list.openapi(),
)
def get_users(
    request: Request, response: Response, db: DbSession, actor: CurrentUser, query: UserListQuery
) -> Sequence[Record]:
    """List the users whom you may see."""
    page = crud_user.get_users(db, query=query, actor=actor)
    return answer_page(page, query=query, unit="users", request=request, response=response)


@router.post(
    "/",
    status_code=201,
    response_model=UserPublic,
    responses=CREATE_ANSWERS | problems(409),
    # Passwords are hashed ahead of the key's statement: no connection is held meanwhile.
    dependencies=[
        requires(Permission.USERS_WRITE),
        Depends(hash_new_password),
        rehearsable,
        idempotent,
    ],
)
def create_user(
    request: Request,
    response: Response,
    hashed_password: NewHashedPassword,
    db: DbSession,
    actor: CurrentUser,
    user_in: UserCreate,
) -> User:
    """Create a verified user. A manager creates plain users of their own department."""
    user = crud_user.create_user(db, user_in=user_in, hashed_password=hashed_password, actor=actor)
    name_location(request, response, user.id)
    return user


@router.get(
    "/{user_id}", response_model=UserPublic, responses=problems(404), dependencies=[signed_in]
)
def get_user(user: VisibleUser) -> Record:
    """Show a user: yourself, or whom you may see."""
    return user


@router.patch(
    "/{user_id}",
    response_model=UserPublic,
    responses=problems(404, 409),
    dependencies=[signed_in, rehearsable],
)
@router.put(
    "/{user_id}",
    response_model=UserPublic,
    responses=problems(404, 409),
    dependencies=[signed_in, rehearsable],
    operation_id="replace_user",
)
def update_user(
    passwords: HashedPasswords,
    db: DbSession,
    actor: CurrentUser,
    user: LockedUser,
    user_in: UserUpdate,
) -> User:
    """Change the given fields of a user; the rest stays as it is."""
    return crud_user.update_user(db, user=user, user_in=user_in, actor=actor, passwords=passwords)


@router.delete(
    "/{user_id}",
    status_code=204,
    responses=delete_answers(UserPublic) | problems(404, 409),
    dependencies=[requires(Permission.USERS_WRITE), rehearsable],
)
def delete_user(
    request: Request, db: DbSession, actor: CurrentUser, user: UserToDelete, purge: Purge = False
) -> Response:
    """Delete a user: into the trash, or for good.

    Their items stay, and their e-mail and user name are free again. For good goes nobody who still
    has items or usage.
    """
    if purge:
        crud_user_trash.purge_user(db, user=user, actor=actor)
    else:
        crud_user.delete_user(db, user=user, actor=actor)
    return answer_deleted(request, user, UserPublic)


@router.post(
    "/{user_id}/restore",
    response_model=UserPublic,
    responses=problems(404, 409),
    dependencies=[requires(Permission.USERS_WRITE), rehearsable, idempotent],
)
def restore_user(db: DbSession, actor: CurrentUser, user: UserToRestore) -> User:
    """Take a user out of the trash, unless their e-mail or user name was taken meanwhile."""
    return crud_user_trash.restore_user(db, user=user, actor=actor)


@router.get(
    "/{user_id}/impact",
    response_model=UserImpact,
    responses=problems(404),
    dependencies=[signed_in],
)
def get_user_impact(db: DbSession, user: VisibleUser) -> dict[str, Count]:
    """Count what hangs on a user, to be seen before they are deleted."""
    return crud_user_trash.get_impact(db, user_id=user["id"])


@router.get(
    "/{user_id}/items",
    response_model=list[ItemPublic],
    responses=LIST_ANSWERS | problems(404),
    dependencies=[requires(Permission.ITEMS_READ)],
    openapi_extra=item_list.openapi(),
)
def get_user_items(
    request: Request,
    response: Response,
    db: DbSession,
    actor: CurrentUser,
    owner: VisibleUser,
    query: ItemListQuery,
) -> Sequence[Record]:
    """List a user's items, with the parameters of the list of all items."""
    page = crud_item.get_items(db, query=query, actor=actor, owner_id=owner["id"])
    return answer_page(page, query=query, unit="items", request=request, response=response)


@router.get(
    "/{user_id}/stats",
    response_model=UserWithStats,
    responses=problems(404),
    dependencies=[requires(Permission.USAGE_READ)],
)
def get_user_stats(user: VisibleUserStats) -> Record:
    """Show a user, yourself or whom you may see, with the figures of their items and usage."""
    return user


@router.get(
    "/{user_id}/sessions",
    response_model=list[SessionPublic],
    responses=problems(404),
    dependencies=[requires(Permission.SESSIONS_MANAGE)],
)
def get_user_sessions(
    user: VisibleUser, db: DbSession, actor: CurrentUser
) -> Sequence[dict[str, Any]]:
    """List the devices on which a user is signed in, the last used first."""
    return crud_session.get_sessions(db, user_id=user["id"], current_id=actor.session_id)


@router.delete(
    "/{user_id}/sessions",
    status_code=204,
    responses=problems(404),
    dependencies=[requires(Permission.SESSIONS_MANAGE)],
)
def end_user_sessions(user: VisibleUser, db: DbSession) -> Response:
    """Sign a user out on every device."""
    crud_auth.end_sessions_of(db, user_id=user["id"])
    return Response(status_code=204)
