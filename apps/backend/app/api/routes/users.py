from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import AfterValidator, Field

from app.api.answers import answer_deleted, answer_page, name_location
from app.api.bulk import add_bulk_routes
from app.api.credentials import (
    HashedPasswords,
    NewHashedPassword,
    NewHashedPasswords,
    hash_new_password,
    hash_new_passwords,
)
from app.api.deps import CurrentUser, DbSession, Purge, requires, signed_in
from app.api.dry_run import rehearsable
from app.api.etags import KnownTags, answer_record
from app.api.exports import add_export_route
from app.api.idempotency import idempotent
from app.api.imports import import_router
from app.api.listing import ListParameters
from app.api.problems import (
    CREATE_RECORD_ANSWERS,
    LIST_ANSWERS,
    READ_RECORD_ANSWERS,
    RECORD_ANSWERS,
    delete_answers,
    problems,
)
from app.api.routing import Router
from app.api.sent import Sent
from app.api.users import (
    LockedUser,
    UserToDelete,
    UserToRestore,
    VisibleOrDeletedUser,
    VisibleUser,
    VisibleUserStats,
    tag_of_record,
    tag_of_user,
)
from app.core.permissions import Permission
from app.crud import auth as crud_auth
from app.crud import item as crud_item
from app.crud import session as crud_session
from app.crud import user as crud_user
from app.crud import user_creation as crud_user_creation
from app.crud import user_trash as crud_user_trash
from app.crud.listing import Record
from app.crud.user_bulk import USER
from app.crud.user_import import USER_IMPORTER
from app.models.user import User
from app.schemas.auth import SessionPublic
from app.schemas.base import DIGITS, MAX_BULK, refuse_unstorable_text
from app.schemas.item import ItemPublic
from app.schemas.listing import ListQuery
from app.schemas.usage import UserWithStats
from app.schemas.user import (
    Count,
    DepartmentName,
    UserBulkChanges,
    UserBulkCreate,
    UserCreate,
    UserImpact,
    UserPublic,
    UserUpdate,
)

router = Router(prefix="/users", tags=["users"])
imports = import_router(
    router,
    USER_IMPORTER,
    public=UserPublic,
    permission=Permission.USERS_WRITE,
    named_by="`id`\nor else e-mail",
)
user_list = ListParameters(UserPublic, trash_for=Permission.USERS_WRITE)
item_list = ListParameters(ItemPublic, trash_for=Permission.ITEMS_WRITE)
UserListQuery = Annotated[ListQuery, Depends(user_list)]
ItemListQuery = Annotated[ListQuery, Depends(item_list)]


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
    responses=CREATE_RECORD_ANSWERS | problems(409),
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
    response.headers["ETag"] = tag_of_user(user)
    return user


add_export_route(
    router, crud_user.USERS, user_list, name="users", permission=Permission.USERS_EXPORT
)


@router.get(
    "/departments",
    response_model=list[DepartmentName],
    dependencies=[requires(Permission.USERS_READ)],
)
def get_departments(
    db: DbSession,
    actor: CurrentUser,
    q: Annotated[
        str,
        Field(max_length=200),
        AfterValidator(refuse_unstorable_text),
        Query(description="What the name contains, without regard to case."),
    ] = "",
    limit: Annotated[
        int, Field(ge=1, le=MAX_BULK), DIGITS, Query(description="How many are suggested.")
    ] = 100,
) -> Sequence[str | None]:
    """Suggest departments of the users whom you may see, by name, each in one spelling."""
    return crud_user.get_departments(db, q=q, limit=limit, actor=actor)


@router.post(
    "/bulk",
    status_code=201,
    response_model=list[UserPublic],
    responses=problems(409),
    dependencies=[
        requires(Permission.USERS_WRITE),
        Depends(hash_new_passwords),
        rehearsable,
        idempotent,
    ],
)
def create_users(
    hashed_passwords: NewHashedPasswords,
    db: DbSession,
    actor: CurrentUser,
    users_in: UserBulkCreate,
) -> Sequence[Record]:
    """Create up to 1000 users, all or none, by the rules of a single one.

    Refused rows are named by their place, as `items.3.email`.
    """
    return crud_user_creation.create_users(
        db, users_in=users_in.items, hashed_passwords=hashed_passwords, actor=actor
    )


add_bulk_routes(
    router,
    USER,
    public=UserPublic,
    changes=UserBulkChanges,
    single=UserUpdate,
    permission=Permission.USERS_WRITE,
)


@router.get(
    "/{user_id}",
    response_model=UserPublic,
    responses=READ_RECORD_ANSWERS | problems(404),
    dependencies=[signed_in],
)
def get_user(response: Response, user: VisibleUser, known: KnownTags) -> Record | Response:
    """Show a user: yourself, or whom you may see."""
    return answer_record(user, tag=tag_of_record(user), known=known, response=response)


@router.patch(
    "/{user_id}",
    response_model=UserPublic,
    responses=RECORD_ANSWERS | problems(404, 409, 412),
    dependencies=[signed_in, rehearsable],
)
@router.put(
    "/{user_id}",
    response_model=UserPublic,
    responses=RECORD_ANSWERS | problems(404, 409, 412),
    dependencies=[signed_in, rehearsable],
    operation_id="replace_user",
)
def update_user(
    response: Response,
    passwords: HashedPasswords,
    db: DbSession,
    actor: CurrentUser,
    user: LockedUser,
    user_in: Sent[UserUpdate],
) -> User:
    """Change the given fields of a user; the rest stays as it is."""
    user = crud_user.update_user(db, user=user, user_in=user_in, actor=actor, passwords=passwords)
    response.headers["ETag"] = tag_of_user(user)
    return user


@router.delete(
    "/{user_id}",
    status_code=204,
    responses=delete_answers(UserPublic) | problems(404, 409, 412),
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
        crud_user.delete_user(db, user=user)
    return answer_deleted(request, user, UserPublic)


@router.post(
    "/{user_id}/restore",
    response_model=UserPublic,
    responses=RECORD_ANSWERS | problems(404, 409, 412),
    dependencies=[requires(Permission.USERS_WRITE), rehearsable, idempotent],
)
def restore_user(
    response: Response, db: DbSession, actor: CurrentUser, user: UserToRestore
) -> User:
    """Take a user out of the trash, unless their e-mail or user name was taken meanwhile."""
    user = crud_user_trash.restore_user(db, user=user, actor=actor)
    response.headers["ETag"] = tag_of_user(user)
    return user


@router.get(
    "/{user_id}/impact",
    response_model=UserImpact,
    responses=problems(404),
    dependencies=[signed_in],
)
def get_user_impact(db: DbSession, user: VisibleOrDeletedUser) -> dict[str, Count]:
    """Count what hangs on a user, to be seen before they are deleted, or purged from the trash."""
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
