from fastapi import Response

from app.api.deps import AuthenticatedId, DbSession, public
from app.api.one_visit import HashingRoute
from app.api.problems import problems
from app.api.routing import Router
from app.core.security import create_access_token
from app.crud import auth as crud_auth
from app.schemas.auth import TokenPublic

router = Router(prefix="/auth", tags=["auth"], route_class=HashingRoute)


@router.post("/login", response_model=TokenPublic, responses=problems(401), dependencies=[public])
def login(response: Response, user_id: AuthenticatedId, db: DbSession) -> TokenPublic:
    """Sign in by e-mail or user name.

    Unknown names, wrong passwords and inactive accounts are refused alike.
    """
    crud_auth.note_login(db, user_id=user_id)
    token = create_access_token(user_id=user_id)
    response.headers["Cache-Control"] = "no-store"
    return TokenPublic(access_token=token.text, expires_in=token.expires_in_seconds)
