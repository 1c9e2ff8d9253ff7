from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Path, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData

from app.api.cookies import clear_session_cookies, set_session_cookies
from app.api.credentials import (
    CheckedLogin,
    GivenRefreshToken,
    Named,
    NamedSession,
    limited_by_account,
    limited_logout,
    limited_refresh,
)
from app.api.deps import CurrentUser, DbSession, just_signed_in, or_not_found, public, uncounted
from app.api.limits import LOGIN_ADDRESS, REFRESH, count_session, limited_by_address
from app.api.media_type import JSON, is_json
from app.api.one_visit import HashingRoute
from app.api.plan import read_json
from app.api.problems import problems
from app.api.routing import AUTH_BODY_BYTES, Router
from app.core.security import create_access_token
from app.crud import auth as crud_auth
from app.crud import session as crud_session
from app.schemas.auth import CookiesPublic, SessionPublic, SignedIn, TokenPublic
from app.schemas.base import RecordId


class FormOrJsonRoute(HashingRoute):
    async def read_body(self, request: Request, *, is_form: bool) -> bytes | FormData:
        """Take a JSON object for a form with these fields.

        Raises UnsupportedMediaTypeError, RequestValidationError, HTTPException.
        """
        content_type = request.headers.get("content-type", "")
        body = await super().read_body(request, is_form=is_form and not is_json(content_type))
        if not isinstance(body, bytes):
            return body
        fields = read_json(body, content_type=content_type, is_strict=True) if body else {}
        if not isinstance(fields, dict):
            raise RequestValidationError([{"type": "dict_type", "loc": ("body",), "msg": ""}])
        request._form = FormData(fields)  # noqa: SLF001  Whoever reads the form finds it read.
        return request._form  # noqa: SLF001


router = Router(prefix="/auth", tags=["auth"], max_body_size=AUTH_BODY_BYTES)
hashing = Router(route_class=FormOrJsonRoute)

SessionId = Annotated[RecordId, or_not_found(crud_session.SessionNotFoundError), Path()]


@hashing.post(
    "/login",
    response_model=SignedIn,
    responses=problems(401, 403),
    dependencies=[public, limited_by_address(LOGIN_ADDRESS), limited_by_account],
    openapi_extra={
        "requestBody": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/LoginForm"}}}}
    },
)
def login(
    request: Request, response: Response, checked: CheckedLogin, db: DbSession
) -> TokenPublic | CookiesPublic:
    """Sign in by e-mail or user name.

    Unknown names, wrong passwords and inactive accounts are refused alike.
    """
    session = crud_auth.log_in(db, credentials=checked.credentials, new_hash=checked.new_hash)
    return _answer(request, response, session, in_cookies=checked.in_cookies)


router.include_router(hashing)  # Here, so that the login comes first in the document.


@router.post(
    "/refresh",
    response_model=SignedIn,
    responses=problems(401, 403),
    dependencies=[uncounted, limited_refresh],
)
def refresh(
    request: Request, response: Response, given: GivenRefreshToken, db: DbSession
) -> TokenPublic | CookiesPublic:
    """Exchange the refresh token, from the body or the cookie, for a new pair.

    Each is good for one use. Using a spent one again ends the session, except within 10 seconds,
    where two tabs that refresh at once get the same, and are counted once.
    """
    session = crud_session.refresh_session(db, refresh_token=given.refresh_token)
    if session.is_renewed:  # Beyond the limit the token is not spent.
        count_session(request, REFRESH, given.claims)
    return _answer(request, response, session, in_cookies=given.is_cookie)


@router.post(
    "/logout",
    status_code=204,
    responses=problems(401, 403),
    dependencies=[uncounted, limited_logout],
)
def logout(request: Request, named: NamedSession, db: DbSession) -> Response:
    """End the session of the access token (expired or not), the refresh token or the cookie.

    Its access tokens stop working at once. Doing it again is no mistake.
    """
    crud_auth.log_out(db, claims=named.claims)
    return _signed_out(request, named)


@router.post(
    "/logout-all",
    status_code=204,
    responses=problems(401, 403),
    dependencies=[uncounted, limited_logout],
)
def logout_all(request: Request, named: NamedSession, db: DbSession) -> Response:
    """End all of your sessions, on every device. A session that has ended already ends no other."""
    crud_auth.log_out_everywhere(db, claims=named.claims)
    return _signed_out(request, named)


@router.get("/sessions", response_model=list[SessionPublic], dependencies=[just_signed_in])
def get_my_sessions(db: DbSession, actor: CurrentUser) -> Sequence[dict[str, Any]]:
    """List the devices on which you are signed in, the last used first."""
    return crud_session.get_sessions(db, user_id=actor.id, current_id=actor.session_id)


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    responses=problems(404),
    dependencies=[just_signed_in],
)
def end_my_session(session_id: SessionId, db: DbSession, actor: CurrentUser) -> None:
    """Sign out one of your devices."""
    crud_auth.end_own_session(db, session_id=session_id, actor=actor)


def _answer(
    request: Request, response: Response, session: crud_session.OpenSession, *, in_cookies: bool
) -> TokenPublic | CookiesPublic:
    token = create_access_token(user_id=session.user_id, session_id=session.id)
    response.headers["Cache-Control"] = "no-store"
    if in_cookies:
        csrf = set_session_cookies(request, response, session=session, token=token)
        return CookiesPublic(csrf_token=csrf, expires_in=token.expires_in_seconds)
    return TokenPublic(
        access_token=token.text,
        refresh_token=session.refresh_token,
        expires_in=token.expires_in_seconds,
    )


def _signed_out(request: Request, named: Named) -> Response:
    response = Response(status_code=204)
    if named.is_cookie:
        clear_session_cookies(request, response)
    return response
