"""What is limited, by whom it is counted, and the dependencies with which a route says so."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

from fastapi import Depends, Request

from app.api.cookies import access_cookie
from app.core.errors import TooManyRequestsError
from app.core.origin import Origin
from app.core.rate_limit import Limit
from app.core.security import AccessClaims, InvalidTokenError, read_access_token, sign
from app.middleware.answer_headers import STANDINGS
from app.middleware.request_context import first_header
from app.schemas.auth import EmailForm, Registration

# Every request of the API is one of these.
ANONYMOUS: Final = Limit("anonymous", "RATE_LIMIT_ANONYMOUS", is_exact=False)
USER: Final = Limit("user", "RATE_LIMIT_USER", is_exact=False)

LOGIN: Final = Limit("login", "RATE_LIMIT_LOGIN")
LOGIN_ADDRESS: Final = Limit("login-address", "RATE_LIMIT_LOGIN_ADDRESS")
ACCOUNT_ADDRESS: Final = Limit("account-address", "RATE_LIMIT_LOGIN_ADDRESS")
PASSWORD: Final = Limit("password", "RATE_LIMIT_LOGIN")
LETTERS: Final = Limit("letters", "RATE_LIMIT_LETTERS")
REFRESH: Final = Limit("refresh", "RATE_LIMIT_REFRESH")
EXPORT: Final = Limit("export", "RATE_LIMIT_EXPORT")
LOGOUT: Final = Limit("logout", "RATE_LIMIT_REFRESH")


def count(request: Request, limit: Limit, key: str) -> None:
    """Count a request once, also where it is tried again within. Raises TooManyRequestsError."""
    counted = request.scope["state"].setdefault(STANDINGS, {})
    if limit.name in counted:
        return
    standings = counted[limit.name] = request.app.state.limiter.hit(limit, key)
    if standings and standings[-1].is_exceeded:
        raise TooManyRequestsError(retry_after=standings[-1].reset_seconds)


def count_address(request: Request, limit: Limit) -> None:
    """Raises TooManyRequestsError."""
    count(request, limit, f"address:{_network_of(request.state.origin.address)}")


def count_user(request: Request, limit: Limit, user_id: int) -> None:
    """Raises TooManyRequestsError."""
    count(request, limit, f"user:{user_id}")


def count_session(request: Request, limit: Limit, named: AccessClaims) -> None:
    """Raises TooManyRequestsError."""
    count(request, limit, f"session:{named.session_id}")
    count_user(request, USER, named.user_id)


def count_name(request: Request, limit: Limit, name: str) -> None:
    """Count by what somebody typed, and keep none of it. Raises TooManyRequestsError."""
    count(request, limit, f"name:{sign(name.encode(), purpose='rate-limit').hex()}")


def sharer_of(request: Request) -> str:
    """Name who shares the threads with others: the user whom a token is of, or an address."""
    scheme, _, token = (first_header(request.scope, b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.cookies.get(access_cookie(), "")
    try:
        return _user_of(token.strip())
    except InvalidTokenError:
        origin: Origin | None = getattr(request.state, "origin", None)
        return f"address:{_network_of(origin.address or '')}" if origin is not None else ""


@lru_cache(maxsize=4096)
def _user_of(token: str) -> str:
    """Raises InvalidTokenError. Tokens that have expired are somebody's too."""
    return f"user:{read_access_token(token, may_be_expired=True).user_id}"


@lru_cache(maxsize=4096)
def _network_of(address: str) -> str:
    """One customer has a whole /64 of IPv6 addresses."""
    try:
        if isinstance(ip_address(address), IPv6Address):
            return str(ip_network((address, 64), strict=False))
    except ValueError:
        pass  # No address: a socket file, or a test's client.
    return address


@dataclass(frozen=True)
class RouteLimit:
    """A dependency that counts; `per` says by what. Equal ones count once."""

    limit: Limit
    per: str


class AddressLimit(RouteLimit):
    """The route class has it count ahead of the body, so that unreadable ones count too."""

    def __call__(self, request: Request) -> None:
        count_address(request, self.limit)


class LetterLimit(RouteLimit):
    def __call__(self, request: Request, form: EmailForm) -> None:
        count_name(request, self.limit, form.email)


class RegistrationLimit(RouteLimit):
    def __call__(self, request: Request, registration: Registration) -> None:
        count_name(request, self.limit, registration.email)


def limited_by_address(limit: Limit) -> Any:
    return Depends(AddressLimit(limit, per="address"))


limited_by_recipient: Final = Depends(LetterLimit(LETTERS, per="recipient"))
limited_by_registered: Final = Depends(RegistrationLimit(LETTERS, per="recipient"))
