"""What a request brings to prove something, read and checked ahead of the transaction: a login, a
refresh token, a session to end, a password.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import Depends, Form, Query, Request
from sqlalchemy.orm import Session

from app.api.cookies import access_cookie, refresh_cookie, refuse_foreign_page, refuse_forgery
from app.api.deps import BearerToken, CurrentUser, DbSession, UserId, limited_by_user
from app.api.limits import (
    ANONYMOUS,
    LETTERS,
    LOGIN,
    LOGOUT,
    PASSWORD,
    REFRESH,
    USER,
    RouteLimit,
    count_address,
    count_name,
    count_session,
    count_user,
)
from app.api.sent import Sent
from app.core.errors import NotAuthenticatedError
from app.core.origin import Origin
from app.core.rate_limit import Limit
from app.core.security import AccessClaims, hash_password, read_access_token, renewed_hash
from app.crud import account as crud_account
from app.crud import auth as crud_auth
from app.crud import session as crud_session
from app.crud import user as crud_user
from app.crud import user_creation as crud_user_creation
from app.db.session import read_only, unit_of_work
from app.schemas.auth import LoginForm, PasswordChange, PasswordReset, RefreshForm
from app.schemas.user import UserBulkCreate, UserCreate, UserUpdate

Mode = Annotated[
    Literal["token", "cookie"],
    Query(description="`cookie` sets cookies for a browser instead of answering tokens."),
]


@dataclass(frozen=True, slots=True)
class Login:
    credentials: crud_auth.Credentials
    new_hash: str | None
    in_cookies: bool


class LoginLimit(RouteLimit):
    """Counts by the name as typed, and looks nobody up: an account's e-mail and user name count
    apart, as those of nobody do. Else the count would tell which names belong to one account.
    """

    def __call__(self, request: Request, form: Annotated[LoginForm, Form()]) -> None:
        count_name(request, self.limit, crud_auth.stored_form(form.username))


limited_by_account: Final = Depends(LoginLimit(LOGIN, per="account"))


def check_login(
    request: Request, form: Annotated[LoginForm, Form()], mode: Mode = "token"
) -> Login:
    """No connection is held while the password is hashed.

    Raises CsrfFailedError, InvalidCredentialsError.
    """
    if mode == "cookie":
        refuse_foreign_page(request)  # It would sign its visitor in as somebody else.
    origin: Origin = request.state.origin
    agent = request.headers.get("user-agent", "")
    origin.device = "".join(character for character in agent if character.isprintable())
    with read_only() as db:
        credentials = crud_auth.get_credentials(db, login=form.username)
    if not crud_auth.are_right(credentials, password=form.password) or credentials is None:
        with unit_of_work(origin) as db:
            crud_auth.note_failed_login(db, credentials=credentials)
        raise crud_auth.InvalidCredentialsError
    new_hash = renewed_hash(form.password, credentials.hashed_password)
    return Login(credentials, new_hash, in_cookies=mode == "cookie")


CheckedLogin = Annotated[Login, Depends(check_login)]


@dataclass(frozen=True, slots=True)
class Named:
    """A session, ended or not, and how it was named."""

    claims: AccessClaims
    is_cookie: bool
    refresh_token: str = ""


def get_refresh_token(request: Request, form: RefreshForm | None = None) -> Named:
    """Raises NotAuthenticatedError, InvalidTokenError, CsrfFailedError."""
    text = request.cookies.get(refresh_cookie()) if form is None else form.refresh_token
    try:
        if text is None:
            raise NotAuthenticatedError
        with read_only() as db:
            claims, is_usable = crud_session.claims_of_refresh_token(db, refresh_token=text)
    except NotAuthenticatedError:
        _count_stranger(request, REFRESH)
        raise
    if form is None:
        refuse_forgery(request, session_id=claims.session_id)
    if not is_usable:  # The others count once they have led to new tokens.
        count_session(request, REFRESH, claims)
    return Named(claims, is_cookie=form is None, refresh_token=text)


GivenRefreshToken = Annotated[Named, Depends(get_refresh_token)]


def _count_stranger(request: Request, limit: Limit) -> None:
    """Sessions count for themselves, since an office shares an address; the rest cannot."""
    count_address(request, ANONYMOUS)
    count_address(request, limit)


def get_named_session(
    request: Request, token: BearerToken, db: DbSession, form: RefreshForm | None = None
) -> Named:
    """Tokens that have expired name their session too: nothing opens with them.

    Raises NotAuthenticatedError, InvalidTokenError, CsrfFailedError.
    """
    try:
        if token is not None:
            return Named(read_access_token(token, may_be_expired=True), is_cookie=False)
        if form is not None:
            return Named(_session_of(db, form.refresh_token), is_cookie=False)
        claims = _session_of_cookies(request, db)
    except NotAuthenticatedError:
        _count_stranger(request, LOGOUT)
        raise
    refuse_forgery(request, session_id=claims.session_id)
    return Named(claims, is_cookie=True)


def _session_of(db: Session, refresh_token: str) -> AccessClaims:
    return crud_session.claims_of_refresh_token(db, refresh_token=refresh_token)[0]


def _session_of_cookies(request: Request, db: Session) -> AccessClaims:
    if refresh_token := request.cookies.get(refresh_cookie()):
        return _session_of(db, refresh_token)
    if access_token := request.cookies.get(access_cookie()):
        return read_access_token(access_token, may_be_expired=True)
    raise NotAuthenticatedError


NamedSession = Annotated[Named, Depends(get_named_session)]


class RefreshLimit(RouteLimit):
    """Of those who use a token at once, as tabs do, only the database knows who was first."""

    def __call__(self, request: Request, named: GivenRefreshToken) -> None:
        count_user(request, USER, named.claims.user_id)


class LogoutLimit(RouteLimit):
    def __call__(self, request: Request, named: NamedSession) -> None:
        count_session(request, self.limit, named.claims)


limited_refresh: Final = Depends(RefreshLimit(REFRESH, per="session"))
limited_logout: Final = Depends(LogoutLimit(LOGOUT, per="session"))
limited_password: Final = limited_by_user(PASSWORD)


def require_open_registration() -> None:
    """Raises RegistrationClosedError."""
    crud_account.refuse_closed_registration()


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


def check_password_change(change: PasswordChange, actor: CurrentUser) -> CheckedChange:
    """Raises PasswordTooEasyError, CurrentPasswordWrongError."""
    with read_only() as db:
        stored = crud_account.check_change(db, change=change, actor=actor)
    return CheckedChange(stored, crud_account.hash_change(change, stored=stored))


HashedChange = Annotated[CheckedChange, Depends(check_password_change)]


def hash_passwords(
    request: Request, user_id: UserId, user_in: Sent[UserUpdate], actor: CurrentUser
) -> crud_user.Passwords:
    """Hash and compare ahead of the transaction: nothing is locked or held meanwhile."""
    confirms = user_in.current_password is not None and user_id == actor.id
    if user_in.password is None and not confirms:
        return crud_user.NO_PASSWORDS
    if confirms:
        count_user(request, PASSWORD, actor.id)
        if user_in.email not in {None, actor.profile["email"]}:  # Two letters, one to anybody.
            count_user(request, LETTERS, actor.id)
    with read_only() as db:
        stored = crud_user.check_passwords(db, user_id=user_id, user_in=user_in, actor=actor)
    return crud_user.hash_passwords(user_in, stored=stored if confirms else None)


def hash_my_passwords(
    request: Request, user_in: Sent[UserUpdate], actor: CurrentUser
) -> crud_user.Passwords:
    return hash_passwords(request, actor.id, user_in, actor)


def hash_new_password(user_in: UserCreate, actor: CurrentUser) -> str | None:
    """Raises what the creation does, as far as it needs no look at the database."""
    if user_in.password is None:
        return None
    crud_user.new_user_values(user_in, actor)
    return hash_password(user_in.password)


def hash_new_passwords(users_in: UserBulkCreate, actor: CurrentUser) -> Sequence[str | None]:
    """Raises what the creation of these users does, as far as it needs no look at the database."""
    passwords = [user_in.password for user_in in users_in.items]
    if any(passwords):
        crud_user_creation.check_new_users(users_in.items, actor=actor)
    return [None if one is None else hash_password(one) for one in passwords]


HashedPasswords = Annotated[crud_user.Passwords, Depends(hash_passwords)]
NewHashedPassword = Annotated[str | None, Depends(hash_new_password)]
NewHashedPasswords = Annotated[Sequence[str | None], Depends(hash_new_passwords)]
MyHashedPasswords = Annotated[crud_user.Passwords, Depends(hash_my_passwords)]
