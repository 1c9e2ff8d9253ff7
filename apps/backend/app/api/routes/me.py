from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response

from app.api.answers import answer_deleted
from app.api.credentials import MyHashedPasswords
from app.api.deps import CurrentUser, DbSession, just_signed_in, signed_in
from app.api.dry_run import rehearsable
from app.api.etags import KnownTags, answer_record
from app.api.problems import READ_RECORD_ANSWERS, RECORD_ANSWERS, delete_answers, problems
from app.api.routing import Router
from app.api.sent import Sent
from app.api.users import LockedMe, tag_of_record, tag_of_user
from app.crud import auth as crud_auth
from app.crud import session as crud_session
from app.crud import user as crud_user
from app.crud.listing import Record
from app.models.user import User
from app.schemas.auth import SessionPublic
from app.schemas.user import UserPermissions, UserPublic, UserUpdate

router = Router(prefix="/users/me", tags=["users"])


@router.get(
    "",
    response_model=UserPublic,
    responses=READ_RECORD_ANSWERS,
    dependencies=[just_signed_in],
)
def get_me(response: Response, actor: CurrentUser, known: KnownTags) -> Record | Response:
    """Show who is signed in."""
    me = actor.profile
    return answer_record(me, tag=tag_of_record(me), known=known, response=response)


# `passwords` stands before the locked row: dependencies run in this order, and no row stays
# locked while a password is hashed.
@router.patch(
    "",
    response_model=UserPublic,
    responses=RECORD_ANSWERS | problems(409, 412),
    dependencies=[signed_in, rehearsable],
)
@router.put(
    "",
    response_model=UserPublic,
    responses=RECORD_ANSWERS | problems(409, 412),
    dependencies=[signed_in, rehearsable],
    operation_id="replace_me",
)
def update_me(
    response: Response,
    passwords: MyHashedPasswords,
    db: DbSession,
    actor: CurrentUser,
    me: LockedMe,
    user_in: Sent[UserUpdate],
) -> User:
    """Change your own profile; the rest stays as it is.

    A new e-mail needs `current_password` beside it, and verification. Role, department, quota and
    activity are set by others.
    """
    me = crud_user.update_user(db, user=me, user_in=user_in, actor=actor, passwords=passwords)
    response.headers["ETag"] = tag_of_user(me)
    return me


@router.delete(
    "",
    status_code=204,
    responses=delete_answers(UserPublic) | problems(409, 412),
    dependencies=[signed_in, rehearsable],
)
def delete_me(request: Request, db: DbSession, actor: CurrentUser, me: LockedMe) -> Response:
    """Delete your own account. The last active admin stays."""
    crud_user.delete_user(db, user=me, actor=actor)
    return answer_deleted(request, me, UserPublic)


@router.get("/sessions", response_model=list[SessionPublic], dependencies=[signed_in])
def get_sessions_of_me(db: DbSession, actor: CurrentUser) -> Sequence[dict[str, Any]]:
    """List the devices on which you are signed in, as `GET /auth/sessions` does."""
    return crud_session.get_sessions(db, user_id=actor.id, current_id=actor.session_id)


@router.delete("/sessions", status_code=204, dependencies=[signed_in])
def end_sessions_of_me(db: DbSession, actor: CurrentUser) -> Response:
    """Sign yourself out on every device, this one included."""
    crud_auth.end_sessions_of(db, user_id=actor.id)
    return Response(status_code=204)


@router.get("/permissions", response_model=UserPermissions, dependencies=[just_signed_in])
def get_my_permissions(actor: CurrentUser) -> UserPermissions:
    """Tell what a panel may show to whom is signed in."""
    return UserPermissions(
        role=actor.role,
        permissions=sorted(actor.permissions),
        must_change_password=actor.must_change_password,
    )
