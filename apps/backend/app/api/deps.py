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
from app.schemas.base import DIGITS, RecordId
from app.schemas.user import UserUpdate

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Id = Annotated[RecordId, DIGITS, Path()]

_bearer = OAuth2PasswordBearer(
    tokenUrl="auth/login", auto_error=False, description="Sign in by e-mail or user name."
)


class NotVerifiedError(PermissionDeniedError):
    code = "NOT_VERIFIED"
    text = "Your e-mail address is not verified yet. An admin can say that it is yours."


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


async def whoever_is_signed_in(_user: CurrentUser) -> None:
    """Declares that a route asks for no permission beyond a login."""


public: Final = Depends(anyone)
signed_in: Final = Depends(whoever_is_signed_in)


def authenticate(form: Annotated[LoginForm, Form()]) -> int:
    """Check a login. The connection is back in the pool while the password is hashed."""
    with read_only() as db:
        credentials = crud_auth.get_credentials(db, login=form.username)
    return crud_auth.check_credentials(credentials, password=form.password)


AuthenticatedId = Annotated[int, Depends(authenticate)]


def _hash_passwords(user_id: int, user_in: UserUpdate, actor: Principal) -> crud_user.Passwords:
    """Hash and compare ahead of the transaction: nothing is locked or held meanwhile."""
    if user_in.password is None and user_in.current_password is None:
        return crud_user.NO_PASSWORDS
    with read_only() as db:
        stored = crud_user.check_passwords(db, user_id=user_id, user_in=user_in, actor=actor)
    return crud_user.hash_passwords(user_in, stored=stored)


def hash_passwords(user_id: Id, user_in: UserUpdate, actor: CurrentUser) -> crud_user.Passwords:
    return _hash_passwords(user_id, user_in, actor)


def hash_my_passwords(user_in: UserUpdate, actor: CurrentUser) -> crud_user.Passwords:
    return _hash_passwords(actor.id, user_in, actor)


HashedPasswords = Annotated[crud_user.Passwords, Depends(hash_passwords)]
MyHashedPasswords = Annotated[crud_user.Passwords, Depends(hash_my_passwords)]
