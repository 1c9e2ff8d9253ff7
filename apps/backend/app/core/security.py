"""Passwords and access tokens. The one module that knows passlib and PyJWT."""

import base64
import hashlib
import hmac
import os
import secrets
import threading
import time
import warnings
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final

import jwt
import structlog
from argon2.exceptions import Argon2Error
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from app.core.clock import SKEW, utc_now
from app.core.config import get_settings
from app.core.errors import NotAuthenticatedError
from app.core.text import normalise

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
REMEMBERED_TOKENS: Final = 4096
MAX_ID: Final = 2**63 - 1  # What the database's column holds.
CLAIMS: Final = ("sub", "sid", "jti", "type", "iss", "aud", "iat", "exp")

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

log = structlog.get_logger("backdesk.security")


class InvalidTokenError(NotAuthenticatedError):
    code = "INVALID_TOKEN"
    text = "Your session is not valid, or has ended. Sign in again."


class RetiredKeyError(Exception):
    """What was made with a key that is no longer set cannot be made again."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    text: str
    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class AccessClaims:
    user_id: int
    session_id: int


def hash_password(password: str) -> str:
    """Hash the NFKC form: keyboards differ in how they compose accents."""
    with _hashing:
        return str(_passwords.hash(normalise(password)))


@lru_cache(maxsize=1)
def _unusable_hash() -> str:
    return hash_password(secrets.token_urlsafe(32))


def verify_password(password: str, hashed_password: str | None) -> bool:
    """Take the same time whether or not there is a hash to compare with. Those of earlier releases
    are of what was typed, whatever its form.
    """
    forms = dict.fromkeys([normalise(password), password])
    return any(_matches(form, hashed_password) for form in forms)


def _matches(password: str, hashed_password: str | None) -> bool:
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
            matches = is_readable = False
    if hashed_password is not None and not is_readable:
        log.warning("stored password hash is unreadable")  # Whose, the audit of the request says.
    return matches and is_readable


def renewed_hash(password: str, hashed_password: str | None) -> str | None:
    """Hash anew what was hashed at another cost than today's, or may not be of the password's NFKC.

    The salt stays, so that two who sign in at once come by the same hash.
    """
    form = normalise(password)
    if hashed_password is None or (
        form == password and not _passwords.needs_update(hashed_password)
    ):
        return None
    salt = argon2.from_string(hashed_password).salt
    with _hashing:
        return str(_passwords.handler().using(salt=salt).hash(form))


def is_common_password(password: str) -> bool:
    return password.lower() in _COMMON_PASSWORDS


def _keys() -> dict[str, str]:
    """The present key first, then the one before it, each by its id."""
    settings = get_settings()
    secrets_set = (settings.SECRET_KEY, settings.SECRET_KEY_PREVIOUS)
    keys = (secret.get_secret_value() for secret in secrets_set if secret is not None)
    return {_key_id(key): key for key in keys}


@lru_cache(maxsize=8)
def _key_id(key: str) -> str:
    return _hmac(key, b"", purpose="key-id").hex()[:16]


def key_ids() -> list[str]:
    """Return the present key's id first."""
    return list(_keys())


def present_key_id() -> str:
    return next(iter(_keys()))


def create_access_token(*, user_id: int, session_id: int) -> AccessToken:
    settings = get_settings()
    now = utc_now()
    lifetime = timedelta(minutes=settings.ACCESS_TOKEN_EXPIRE_MINUTES)
    claims = {
        "sub": str(user_id),
        "sid": session_id,
        "jti": secrets.token_urlsafe(16),
        "type": ACCESS,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + lifetime,
    }
    key_id, key = next(iter(_keys().items()))
    text = jwt.encode(claims, key, algorithm=settings.ALGORITHM, headers={"kid": key_id})
    return AccessToken(text=text, expires_in_seconds=int(lifetime.total_seconds()))


def read_access_token(text: str, *, may_be_expired: bool = False) -> AccessClaims:
    """Return whom, and in which session, the token was given to.

    Raises InvalidTokenError for a token that is malformed, foreign, expired, of another type,
    or that outlives what this server would have issued.
    """
    settings = get_settings()
    claims, issued_at, not_before, expires_at = _read_token(
        text, tuple(_keys().items()), settings.ALGORITHM
    )
    now = time.time()
    is_expired = expires_at <= now and not may_be_expired
    is_too_long = expires_at - issued_at > settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60
    is_early = max(issued_at, not_before) > now + SKEW.total_seconds()
    if is_expired or is_too_long or is_early:
        raise InvalidTokenError
    return claims


@lru_cache(maxsize=REMEMBERED_TOKENS)
def _read_token(
    text: str, keys: tuple[tuple[str, str], ...], algorithm: str
) -> tuple[AccessClaims, int, int, int]:
    """What is signed stays so: a panel sends the same token for minutes. Its reader compares its
    times (`iat`, `nbf`, `exp`) with the clock, each time. Raises InvalidTokenError, and remembers
    nothing then.
    """
    try:
        claims = jwt.decode(
            text,
            dict(keys)[jwt.get_unverified_header(text).get("kid", "")],
            algorithms=[algorithm],
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=SKEW,  # Expiry knows none.
            options={"require": list(CLAIMS), "verify_exp": False},
        )
        user_id, session_id = int(claims["sub"]), claims["sid"]
    except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, RecursionError):
        raise InvalidTokenError from None
    is_ours = claims["type"] == ACCESS and 0 < user_id <= MAX_ID
    is_in_session = type(session_id) is int and 0 < session_id <= MAX_ID
    times = (claims["iat"], claims.get("nbf", claims["iat"]), claims["exp"])
    if not is_ours or not is_in_session or any(type(one) is not int for one in times):
        raise InvalidTokenError
    return AccessClaims(user_id, session_id), *times


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """Return what is stored of a secret that nobody can guess: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def derive_secret(data: str, *, purpose: str, key_id: str) -> str:
    """Return a secret of 256 bits that only the holder of the key can make again.

    Raises RetiredKeyError.
    """
    key = _keys().get(key_id)
    if key is None:
        raise RetiredKeyError(key_id)
    digest = _hmac(key, data.encode(), purpose=purpose)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def sign(data: bytes, *, purpose: str) -> bytes:
    """Return a keyed hash (HMAC-SHA256, 16 bytes) that holds for one purpose only."""
    return _hmac(get_settings().SECRET_KEY.get_secret_value(), data, purpose=purpose)[:16]


def is_signed(data: bytes, signature: bytes, *, purpose: str) -> bool:
    """Tell whether the present key, or the one before it, has signed this."""
    made = (_hmac(key, data, purpose=purpose)[:16] for key in _keys().values())
    return any(hmac.compare_digest(signature, one) for one in made)


def _hmac(key: str, data: bytes, *, purpose: str) -> bytes:
    return hmac.new(key.encode(), purpose.encode() + b"\0" + data, hashlib.sha256).digest()
