"""What a route asks for: a session, the caller, a permission."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Query, Request
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from sqlalchemy.orm import Session

from app.api.cookies import CsrfFailedError, access_cookie, refuse_forgery
from app.api.limits import ANONYMOUS, USER, AddressLimit, RouteLimit, count_address, count_user
from app.api.one_visit import SAFE_METHODS
from app.core.cache import Cache
from app.core.errors import NotAuthenticatedError, NotFoundError, PermissionDeniedError
from app.core.origin import Origin
from app.core.permissions import ROLE_PERMISSIONS, Permission, Principal
from app.core.rate_limit import Limit
from app.core.security import AccessClaims, InvalidTokenError, read_access_token
from app.crud import auth as crud_auth
from app.crud.user import UserNotFoundError
from app.db.session import read_only, unit_of_work
from app.schemas.base import RecordId

_bearer = OAuth2PasswordBearer(
    tokenUrl="auth/login", auto_error=False, description="Sign in by e-mail or user name."
)


class NotVerifiedError(PermissionDeniedError):
    code = "NOT_VERIFIED"
    text = "Verify your e-mail address first: open the link in the e-mail, or ask for another one."


class PasswordChangeRequiredError(PermissionDeniedError):
    code = "PASSWORD_CHANGE_REQUIRED"
    text = "You must choose a new password first. Open /account/change."


def or_not_found(error: type[NotFoundError], *, pattern: str = r"-?\d+") -> WrapValidator:
    """For an id in a path: where something else stands, such as a word, there is no such record."""

    is_id = re.compile(pattern, re.ASCII).fullmatch

    def read(value: Any, read_id: ValidatorFunctionWrapHandler) -> Any:
        if not is_id(str(value)):
            raise error
        return read_id(value)

    return WrapValidator(read)


def get_db(request: Request) -> Iterator[Session]:
    """Give a safe method single statements, and everything else one transaction.

    The transaction is committed after the handler and before the answer: a 2xx is durable.
    """
    is_safe = request.method in SAFE_METHODS
    with read_only() if is_safe else unit_of_work(request.state.origin) as db:
        yield db


DbSession = Annotated[Session, Depends(get_db, scope="function")]
BearerToken = Annotated[str | None, Depends(_bearer)]


def get_cache(request: Request) -> Cache:
    cache: Cache = request.app.state.cache
    return cache


AnswerCache = Annotated[Cache, Depends(get_cache)]


def get_current_user(request: Request, token: BearerToken, db: DbSession) -> Principal:
    """Load who is asking, and count the request for them; what is refused counts for its address.
    Whether they may is checked by what the route declares.

    Where a transaction follows, this reads ahead of it: nothing is locked or held while a
    password is hashed or a body refused.

    Raises NotAuthenticatedError, InvalidTokenError, CsrfFailedError, TooManyRequestsError.
    """
    try:
        claims = _read_claims(request, token)
        if request.method in SAFE_METHODS:
            user = crud_auth.get_principal(db, claims=claims)
        else:
            with read_only() as reading:
                user = crud_auth.get_principal(reading, claims=claims)
        if user is None:
            raise InvalidTokenError
    except (NotAuthenticatedError, CsrfFailedError):
        count_address(request, ANONYMOUS)
        raise
    count_user(request, USER, user.id)
    origin: Origin = request.state.origin
    origin.actor_id, origin.actor_email = user.id, user.profile["email"]
    origin.session_id = user.session_id
    return user


def _read_claims(request: Request, token: str | None) -> AccessClaims:
    """Read the access token, from the header or from a browser's cookie."""
    if token is not None:
        return read_access_token(token)
    cookie = request.cookies.get(access_cookie())
    if cookie is None:
        raise NotAuthenticatedError
    claims = read_access_token(cookie)
    if request.method not in SAFE_METHODS:
        refuse_forgery(request, session_id=claims.session_id)
    return claims


CurrentUser = Annotated[Principal, Depends(get_current_user)]

_ME: Final = 0  # No user's id.
_read_me: Final = WrapValidator(lambda value, read: _ME if value == "me" else read(value))


def get_user_id(
    user_id: Annotated[
        RecordId,
        or_not_found(UserNotFoundError),
        _read_me,
        Path(description="Or `me`: yourself."),
    ],
    actor: CurrentUser,
) -> int:
    return actor.id if user_id == _ME else user_id


UserId = Annotated[int, Depends(get_user_id)]


def identify(request: Request) -> Principal:
    """Say who sends this, before its body is read. Raises what `get_current_user` does."""
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    with read_only() as db:
        return get_current_user(request, token if scheme.lower() == "bearer" else None, db)


def check_must_change_password(user: CurrentUser) -> None:
    """Raises PasswordChangeRequiredError."""
    if user.must_change_password:
        raise PasswordChangeRequiredError


@dataclass(frozen=True)
class RequiredPermission:
    """A dependency that a route declares; equal ones are checked once."""

    permission: Permission

    def __call__(self, user: CurrentUser) -> None:
        check_must_change_password(user)
        if self.permission not in ROLE_PERMISSIONS[user.role]:
            raise PermissionDeniedError
        if not user.may(self.permission):
            raise NotVerifiedError


def requires(permission: Permission) -> Any:
    return Depends(RequiredPermission(permission))


Purge = Annotated[
    bool,
    Query(description="For good, also from the trash; only admins, if nothing refers to it."),
]


class UserLimit(RouteLimit):
    def __call__(self, request: Request, user: CurrentUser) -> None:
        count_user(request, self.limit, user.id)


def limited_by_user(limit: Limit) -> Any:
    return Depends(UserLimit(limit, per="user"))


# Declares a route public.
anyone: Final = AddressLimit(ANONYMOUS, per="address")


async def anyone_uncounted() -> None:
    """Declares a route public, and does not count it by address: probes, sessions' own tokens."""


public: Final = Depends(anyone)
uncounted: Final = Depends(anyone_uncounted)
# Declare that a route asks for no permission beyond a login; `just_signed_in` also admits users who
# must change their password.
signed_in: Final = Depends(check_must_change_password)
just_signed_in: Final = Depends(get_current_user)
