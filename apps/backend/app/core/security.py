"""Passwords and access tokens. The one module that knows passlib and PyJWT."""

import hashlib
import hmac
import os
import secrets
import threading
import warnings
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final

import jwt
from argon2.exceptions import Argon2Error
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from app.core.clock import utc_now
from app.core.config import get_settings
from app.core.errors import NotAuthenticatedError

with warnings.catch_warnings():
    # passlib 1.7 asks for the deprecated `crypt` module and for argon2's version attribute.
    warnings.simplefilter("ignore", DeprecationWarning)
    from passlib.context import CryptContext
    from passlib.exc import PasswordSizeError
    from passlib.hash import argon2

    argon2.set_backend("argon2_cffi")

ISSUER: Final = "backdesk"
AUDIENCE: Final = "backdesk-api"
ACCESS: Final = "access"
MAX_USER_ID: Final = 2**63 - 1  # What the database's column holds.
CLAIMS: Final = ("sub", "jti", "type", "iss", "aud", "iat", "exp")

# OWASP's second choice for argon2id: 19 MiB, 2 passes, 1 lane.
_passwords = CryptContext(
    schemes=["argon2"],
    argon2__type="ID",
    argon2__memory_cost=19 * 1024,
    argon2__time_cost=2,
    argon2__parallelism=1,
)
# Each hash takes 19 MiB and a core: more at once would only be slower.
HASHES_AT_ONCE: Final = min(4, os.cpu_count() or 1)
_hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
_COMMON_PASSWORDS: Final = frozenset(FREQUENCY_LISTS["passwords"])


class InvalidTokenError(NotAuthenticatedError):
    code = "INVALID_TOKEN"
    text = "This access token is not valid, or no longer. Sign in again."


@dataclass(frozen=True, slots=True)
class AccessToken:
    text: str
    expires_in_seconds: int


def hash_password(password: str) -> str:
    with _hashing:
        return str(_passwords.hash(password))


@lru_cache(maxsize=1)
def _unusable_hash() -> str:
    return hash_password(secrets.token_urlsafe(32))


def verify_password(password: str, hashed_password: str | None) -> bool:
    """Take the same time whether or not there is a hash to compare with."""
    stand_in = _unusable_hash()
    is_readable = hashed_password is not None and _passwords.identify(hashed_password) is not None
    with _hashing:
        try:
            compared = hashed_password if is_readable else stand_in
            matches = bool(_passwords.verify(password, compared))
        except (PasswordSizeError, UnicodeEncodeError):
            return False  # No password of ours; nothing was hashed.
        except (ValueError, Argon2Error):  # A hash that says argon2 and then goes on otherwise.
            _passwords.verify(password, stand_in)
            return False
    return matches and is_readable


def is_common_password(password: str) -> bool:
    return password.lower() in _COMMON_PASSWORDS


def create_access_token(*, user_id: int) -> AccessToken:
    settings = get_settings()
    now = utc_now()
    lifetime = timedelta(minutes=settings.ACCESS_TOKEN_EXPIRE_MINUTES)
    claims = {
        "sub": str(user_id),
        "jti": secrets.token_urlsafe(16),
        "type": ACCESS,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + lifetime,
    }
    text = jwt.encode(claims, settings.SECRET_KEY.get_secret_value(), algorithm=settings.ALGORITHM)
    return AccessToken(text=text, expires_in_seconds=int(lifetime.total_seconds()))


def read_access_token(text: str) -> int:
    """Return the id of the user whom the token was given to.

    Raises InvalidTokenError for a token that is malformed, foreign, expired, of another type,
    or that outlives what this server would have issued.
    """
    settings = get_settings()
    try:
        claims = jwt.decode(
            text,
            settings.SECRET_KEY.get_secret_value(),
            algorithms=[settings.ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": list(CLAIMS)},
        )
        lifetime = claims["exp"] - claims["iat"]
        user_id = int(claims["sub"])
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        raise InvalidTokenError from None
    is_ours = claims["type"] == ACCESS and 0 < user_id <= MAX_USER_ID
    if not is_ours or lifetime > settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60:
        raise InvalidTokenError
    return user_id


def sign(data: bytes, *, purpose: str) -> bytes:
    """Return a keyed hash (HMAC-SHA256, 16 bytes) that holds for one purpose only."""
    key = get_settings().SECRET_KEY.get_secret_value().encode()
    return hmac.new(key, purpose.encode() + b"\0" + data, hashlib.sha256).digest()[:16]
