"""Many users in one request. All or nothing: a refusal names each row that it is for."""

from collections.abc import Sequence
from typing import Final

from fastapi import Depends

from app.api.choice import read_choice
from app.api.credentials import NewHashedPasswords, hash_new_passwords
from app.api.deps import CurrentUser, DbSession, requires
from app.api.dry_run import rehearsable
from app.api.idempotency import idempotent
from app.api.listing import ListParameters
from app.api.problems import problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud import user_bulk as crud_user_bulk
from app.crud import user_creation as crud_user_creation
from app.crud.listing import Record
from app.schemas.bulk import BulkChoice, UserBulkUpdate
from app.schemas.user import UserBulkCreate, UserPublic

router = Router(prefix="/users", tags=["users"])

USER_LIST: Final = ListParameters(UserPublic)


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


@router.patch(
    "/bulk",
    response_model=list[UserPublic],
    responses=problems(404, 409),
    dependencies=[requires(Permission.USERS_WRITE), rehearsable],
)
def update_users(db: DbSession, actor: CurrentUser, body: UserBulkUpdate) -> Sequence[Record]:
    """Change up to 1000 users alike, or none of them, by the rules that hold for one."""
    choice = read_choice(body, USER_LIST)
    return crud_user_bulk.update_users(db, choice=choice, changes=body.changes, actor=actor)


@router.post(
    "/bulk/delete",
    response_model=list[UserPublic],
    responses=problems(404, 409),
    dependencies=[requires(Permission.USERS_WRITE), rehearsable, idempotent],
)
def delete_users(db: DbSession, actor: CurrentUser, body: BulkChoice) -> Sequence[Record]:
    """Delete up to 1000 users softly, or none of them, and return them as they were left."""
    choice = read_choice(body, USER_LIST)
    return crud_user_bulk.delete_users(db, choice=choice, actor=actor)


@router.post(
    "/bulk/restore",
    response_model=list[UserPublic],
    responses=problems(404, 409),
    dependencies=[requires(Permission.USERS_WRITE), rehearsable, idempotent],
)
def restore_users(db: DbSession, actor: CurrentUser, body: BulkChoice) -> Sequence[Record]:
    """Bring up to 1000 deleted users back, or none of them. A filter finds them in the trash."""
    choice = read_choice(body, USER_LIST)
    return crud_user_bulk.restore_users(db, choice=choice, actor=actor)
