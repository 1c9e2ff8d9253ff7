from collections.abc import Sequence

from fastapi import Depends

from app.api.credentials import NewHashedPasswords, hash_new_passwords
from app.api.deps import CurrentUser, DbSession, requires
from app.api.dry_run import rehearsable
from app.api.idempotency import idempotent
from app.api.problems import problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud import user_creation as crud_user_creation
from app.crud.listing import Record
from app.schemas.user import UserBulkCreate, UserPublic

router = Router(prefix="/users", tags=["users"])


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
