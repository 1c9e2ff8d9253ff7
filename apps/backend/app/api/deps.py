"""What a route asks for: a session, the caller, a permission."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Form, Path, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.orm import Session

from app.core.errors import NotAuthenticatedError, PermissionDeniedError
from app.core.permissions import VERIFIED_ONLY, Permission, Principal
from app.core.security import InvalidTokenError, read_access_token
from app.crud import auth as crud_auth
from app.crud import user as crud_user
from app.db.session import read_only, unit_of_work
from app.schemas.auth import LoginForm
from app.schemas.base import MAX_SAFE_INTEGER
from app.schemas.user import UserUpdate

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Id = Annotated[int, Path(ge=1, le=MAX_SAFE_INTEGER)]

_bearer = OAuth2PasswordBearer(
    tokenUrl="auth/login", auto_error=False, description="Sign in by e-mail or user name."
)


class NotVerifiedError(PermissionDeniedError):
    code = "NOT_VERIFIED"
    text = "Verify your e-mail address first."


def get_db(request: Request) -> Iterator[Session]:
    """Give a safe method single statements, and everything else one transaction.

    The transaction is committed after the handler and before the answer: a 2xx is durable.
    """
    opened = read_only() if request.method in SAFE_METHODS else unit_of_work()
    with opened as db:
        yield db


DbSession = Annotated[Session, Depends(get_db, scope="function")]


def get_optional_user(
    request: Request, token: Annotated[str | None, Depends(_bearer)], db: DbSession
) -> Principal | None:
    """Load who is asking, or None where nobody says so.

    Where a transaction follows, this reads ahead of it: nothing is locked or held while a
    password is hashed or a body refused.
    """
    if token is None:
        return None
    user_id = read_access_token(token)
    if request.method in SAFE_METHODS:
        user = crud_user.get_principal(db, user_id=user_id)
    else:
        with read_only() as reading:
            user = crud_user.get_principal(reading, user_id=user_id)
    if user is None:
        raise InvalidTokenError
    return user


OptionalUser = Annotated[Principal | None, Depends(get_optional_user)]


def get_current_user(user: OptionalUser) -> Principal:
    if user is None:
        raise NotAuthenticatedError
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


async def anyone() -> None:
    """Declares a route public."""


public: Final = Depends(anyone)
signed_in: Final = Depends(get_current_user)


def authenticate(form: Annotated[LoginForm, Form()]) -> int:
    """Check a login. The connection is back in the pool while the password is hashed."""
    with read_only() as db:
        credentials = crud_auth.get_credentials(db, login=form.username)
    return crud_auth.check_credentials(credentials, password=form.password)


AuthenticatedId = Annotated[int, Depends(authenticate)]


def do_password_work(user_in: UserUpdate, user: CurrentUser) -> crud_user.PasswordWork:
    """Hash and compare ahead of the transaction that updates a user."""
    with read_only() as db:
        return crud_user.do_password_work(db, user_in=user_in, actor=user)


DonePasswordWork = Annotated[crud_user.PasswordWork, Depends(do_password_work)]
