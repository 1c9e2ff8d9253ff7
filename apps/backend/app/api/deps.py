"""What a route asks for: a session, the caller, a permission."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Form, Path, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.orm import Session

from app.api.cookies import access_cookie, refresh_cookie
from app.api.csrf import refuse_forgery
from app.api.limits import (
    ANONYMOUS,
    LETTERS,
    LOGOUT,
    PASSWORD,
    REFRESH,
    USER,
    AddressLimit,
    RouteLimit,
    count_address,
    count_session,
    count_user,
)
from app.api.one_visit import SAFE_METHODS
from app.core.errors import DomainError, NotAuthenticatedError, PermissionDeniedError
from app.core.origin import Origin
from app.core.permissions import VERIFIED_ONLY, Permission, Principal
from app.core.rate_limit import Limit
from app.core.security import (
    AccessClaims,
    InvalidTokenError,
    hash_password,
    read_access_token,
    renewed_hash,
)
from app.crud import account as crud_account
from app.crud import auth as crud_auth
from app.crud import session as crud_session
from app.crud import user as crud_user
from app.db.session import read_only, unit_of_work
from app.schemas.auth import LoginForm, PasswordChange, PasswordReset, RefreshForm
from app.schemas.base import DIGITS, RecordId
from app.schemas.user import UserUpdate

Id = Annotated[RecordId, DIGITS, Path()]

_bearer = OAuth2PasswordBearer(
    tokenUrl="auth/login", auto_error=False, description="Sign in by e-mail or user name."
)


class NotVerifiedError(PermissionDeniedError):
    code = "NOT_VERIFIED"
    text = (
        "Your e-mail address is not verified yet: open the link in the letter, or ask for another."
    )


class PasswordChangeRequiredError(PermissionDeniedError):
    code = "PASSWORD_CHANGE_REQUIRED"
    text = "Choose another password first: POST /users/me/password."


def get_db(request: Request) -> Iterator[Session]:
    """Give a safe method single statements, and everything else one transaction.

    The transaction is committed after the handler and before the answer: a 2xx is durable.
    """
    is_safe = request.method in SAFE_METHODS
    with read_only() if is_safe else unit_of_work(request.state.origin) as db:
        yield db


DbSession = Annotated[Session, Depends(get_db, scope="function")]
BearerToken = Annotated[str | None, Depends(_bearer)]


def get_claims(request: Request, token: BearerToken) -> AccessClaims | None:
    """Read the access token, from the header or from a browser's cookie.

    Raises InvalidTokenError, CsrfFailedError.
    """
    try:
        return _read_claims(request, token)
    except DomainError:
        count_address(request, ANONYMOUS)
        raise


def _read_claims(request: Request, token: str | None) -> AccessClaims | None:
    if token is not None:
        return read_access_token(token)
    cookie = request.cookies.get(access_cookie())
    if cookie is None:
        return None
    claims = read_access_token(cookie)
    if request.method not in SAFE_METHODS:
        refuse_forgery(request, session_id=claims.session_id)
    return claims


def get_optional_user(
    request: Request, claims: Annotated[AccessClaims | None, Depends(get_claims)], db: DbSession
) -> Principal | None:
    """Load who is asking, or None where nobody says so.

    Where a transaction follows, this reads ahead of it: nothing is locked or held while a
    password is hashed or a body refused. Raises InvalidTokenError, TooManyRequestsError.
    """
    if claims is None:
        count_address(request, ANONYMOUS)
        return None
    if request.method in SAFE_METHODS:
        user = crud_auth.get_principal(db, claims=claims)
    else:
        with read_only() as reading:
            user = crud_auth.get_principal(reading, claims=claims)
    if user is None:
        count_address(request, ANONYMOUS)
        raise InvalidTokenError
    count_user(request, USER, user.id)
    origin: Origin = request.state.origin
    origin.actor_id, origin.actor_email = user.id, user.profile["email"]
    origin.session_id = user.session_id
    return user


OptionalUser = Annotated[Principal | None, Depends(get_optional_user)]


def get_signed_in_user(user: OptionalUser) -> Principal:
    """Also one who has to choose another password before anything else."""
    if user is None:
        raise NotAuthenticatedError
    return user


SignedInUser = Annotated[Principal, Depends(get_signed_in_user)]


def get_current_user(user: SignedInUser) -> Principal:
    if user.must_change_password:
        raise PasswordChangeRequiredError
    return user


CurrentUser = Annotated[Principal, Depends(get_current_user)]


def get_verified_user(user: CurrentUser) -> Principal:
    if not user.is_verified:
        raise NotVerifiedError
    return user


VerifiedUser = Annotated[Principal, Depends(get_verified_user)]


@dataclass(frozen=True)
class RequiredPermission:
    """A dependency that a route declares; equal ones are checked once."""

    permission: Permission

    def __call__(self, user: CurrentUser) -> None:
        if not user.may(self.permission):
            raise PermissionDeniedError
        if self.permission in VERIFIED_ONLY:
            get_verified_user(user)


def requires(permission: Permission) -> Any:
    return Depends(RequiredPermission(permission))


# Declares a route public.
anyone: Final = AddressLimit(ANONYMOUS, per="address")


async def anyone_uncounted() -> None:
    """Declares a route public, and does not count it by address: probes, sessions' own tokens."""


async def whoever_is_signed_in(_user: CurrentUser) -> None:
    """Declares that a route asks for no permission beyond a login."""


async def even_who_must_change_password(_user: SignedInUser) -> None:
    """Declares the same of the few routes that somebody needs who has to change the password."""


public: Final = Depends(anyone)
uncounted: Final = Depends(anyone_uncounted)
signed_in: Final = Depends(whoever_is_signed_in)
just_signed_in: Final = Depends(even_who_must_change_password)


@dataclass(frozen=True, slots=True)
class Login:
    credentials: crud_auth.Credentials
    new_hash: str | None


def check_login(request: Request, form: Annotated[LoginForm, Form()]) -> Login:
    """No connection is held while the password is hashed. Raises InvalidCredentialsError."""
    origin: Origin = request.state.origin
    origin.device = device_of(request)
    with read_only() as db:
        credentials = crud_auth.get_credentials(db, login=form.username)
    if not crud_auth.are_right(credentials, password=form.password) or credentials is None:
        with unit_of_work(origin) as db:
            crud_auth.note_failed_login(db, credentials=credentials)
        raise crud_auth.InvalidCredentialsError
    return Login(credentials, renewed_hash(form.password, credentials.hashed_password))


CheckedLogin = Annotated[Login, Depends(check_login)]


def device_of(request: Request) -> str:
    agent = request.headers.get("user-agent", "")
    return "".join(character for character in agent if character.isprintable())


@dataclass(frozen=True, slots=True)
class RefreshToken:
    text: str
    is_cookie: bool
    named: AccessClaims  # The session that it is of, ended or not.


def get_refresh_token(request: Request, form: RefreshForm | None = None) -> RefreshToken:
    """Raises NotAuthenticatedError, InvalidTokenError, CsrfFailedError."""
    text = request.cookies.get(refresh_cookie()) if form is None else form.refresh_token
    try:
        if text is None:
            raise NotAuthenticatedError
        with read_only() as db:
            named = crud_session.claims_of_refresh_token(db, refresh_token=text)
    except NotAuthenticatedError:
        _count_stranger(request, REFRESH)
        raise
    if form is None:
        refuse_forgery(request, session_id=named.session_id)
    return RefreshToken(text, is_cookie=form is None, named=named)


GivenRefreshToken = Annotated[RefreshToken, Depends(get_refresh_token)]


def _count_stranger(request: Request, limit: Limit) -> None:
    """Sessions count for themselves, since an office shares an address; the rest cannot."""
    count_address(request, ANONYMOUS)
    count_address(request, limit)


def get_named_session(
    request: Request, token: BearerToken, db: DbSession, form: RefreshForm | None = None
) -> AccessClaims:
    """Tell which session is to end. Tokens that have expired name it too: nothing opens with them.

    Raises NotAuthenticatedError, InvalidTokenError, CsrfFailedError.
    """
    try:
        return _read_named_session(request, token, db, form)
    except NotAuthenticatedError:
        _count_stranger(request, LOGOUT)
        raise


def _read_named_session(
    request: Request, token: str | None, db: Session, form: RefreshForm | None
) -> AccessClaims:
    if token is not None:
        return read_access_token(token, may_be_expired=True)
    if form is not None:
        return crud_session.claims_of_refresh_token(db, refresh_token=form.refresh_token)
    access, refresh = (request.cookies.get(name()) for name in (access_cookie, refresh_cookie))
    if access is not None:
        claims = read_access_token(access, may_be_expired=True)
    elif refresh is not None:
        claims = crud_session.claims_of_refresh_token(db, refresh_token=refresh)
    else:
        raise NotAuthenticatedError
    refuse_forgery(request, session_id=claims.session_id)
    return claims


NamedSession = Annotated[AccessClaims, Depends(get_named_session)]


class RefreshLimit(RouteLimit):
    def __call__(self, request: Request, given: GivenRefreshToken) -> None:
        count_session(request, self.limit, given.named)


class LogoutLimit(RouteLimit):
    def __call__(self, request: Request, named: NamedSession) -> None:
        count_session(request, self.limit, named)


class ActorLimit(RouteLimit):
    def __call__(self, request: Request, actor: SignedInUser) -> None:
        count_user(request, self.limit, actor.id)


limited_refresh: Final = Depends(RefreshLimit(REFRESH, per="session"))
limited_logout: Final = Depends(LogoutLimit(LOGOUT, per="session"))
limited_password: Final = Depends(ActorLimit(PASSWORD, per="user"))


def hash_reset(reset: PasswordReset) -> str:
    """Raises SpentTokenError, PasswordTooEasyError."""
    with read_only() as db:
        crud_account.check_reset(db, reset=reset)
    return hash_password(reset.password)


HashedReset = Annotated[str, Depends(hash_reset)]


@dataclass(frozen=True, slots=True)
class CheckedChange:
    stored: str | None
    new_hash: str


def check_password_change(change: PasswordChange, actor: SignedInUser) -> CheckedChange:
    """Raises PasswordTooEasyError, CurrentPasswordWrongError."""
    with read_only() as db:
        stored = crud_account.check_change(db, change=change, actor=actor)
    return CheckedChange(stored, crud_account.hash_change(change, stored=stored))


HashedChange = Annotated[CheckedChange, Depends(check_password_change)]


def _hash_passwords(
    request: Request, user_id: int, user_in: UserUpdate, actor: Principal
) -> crud_user.Passwords:
    """Hash and compare ahead of the transaction: nothing is locked or held meanwhile."""
    if user_in.password is None and user_in.current_password is None:
        return crud_user.NO_PASSWORDS
    if user_in.current_password is not None:
        count_user(request, PASSWORD, actor.id)
        if user_in.email not in {None, actor.profile["email"]}:  # Two letters, one to anybody.
            count_user(request, LETTERS, actor.id)
    with read_only() as db:
        stored = crud_user.check_passwords(db, user_id=user_id, user_in=user_in, actor=actor)
    return crud_user.hash_passwords(user_in, stored=stored)


def hash_passwords(
    request: Request, user_id: Id, user_in: UserUpdate, actor: CurrentUser
) -> crud_user.Passwords:
    return _hash_passwords(request, user_id, user_in, actor)


def hash_my_passwords(
    request: Request, user_in: UserUpdate, actor: CurrentUser
) -> crud_user.Passwords:
    return _hash_passwords(request, actor.id, user_in, actor)


HashedPasswords = Annotated[crud_user.Passwords, Depends(hash_passwords)]
MyHashedPasswords = Annotated[crud_user.Passwords, Depends(hash_my_passwords)]
