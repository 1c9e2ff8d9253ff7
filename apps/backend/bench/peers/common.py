"""What every peer does alike: settings, access tokens, passwords, the file of an export."""

import csv
import io
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

DATABASE_URL: Final = os.environ["DATABASE_URL"]  # postgresql://…
SECRET_KEY: Final = os.environ["SECRET_KEY"]
POOL_SIZE: Final = int(os.environ["DB_POOL_SIZE"])
LIFETIME: Final = timedelta(minutes=15)
COLUMNS: Final = (
    "id",
    "title",
    "description",
    "status",
    "owner_id",
    "created_at",
    "updated_at",
    "version",
)

_hasher = PasswordHasher()  # Verifies by the parameters that the hash itself names.


def tokens_for(user_id: int) -> dict[str, Any]:
    return {
        "access_token": _token(user_id, "access", LIFETIME),
        "refresh_token": _token(user_id, "refresh", timedelta(days=7)),
        "token_type": "bearer",
        "expires_in": int(LIFETIME.total_seconds()),
    }


def _token(user_id: int, kind: str, lifetime: timedelta) -> str:
    now = datetime.now(UTC)
    claims = {"sub": str(user_id), "type": kind, "iat": now, "exp": now + lifetime}
    return jwt.encode(claims, SECRET_KEY, algorithm="HS256")


def user_id_of(token: str) -> int | None:
    try:
        claims = jwt.decode(
            token, SECRET_KEY, algorithms=["HS256"], options={"require": ["sub", "type", "exp"]}
        )
    except jwt.InvalidTokenError:
        return None
    return int(claims["sub"]) if claims["type"] == "access" else None


def is_right(password: str, hashed_password: str | None) -> bool:
    try:
        return hashed_password is not None and _hasher.verify(hashed_password, password)
    except VerifyMismatchError:
        return False


def csv_text(rows: Iterable[Iterable[Any]], *, has_header: bool = False) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    if has_header:
        writer.writerow(COLUMNS)
    writer.writerows(rows)
    return buffer.getvalue()


def csv_parts(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Write the parts of an answer: the columns of items, some hundred rows at a time."""
    yield csv_text([], has_header=True)
    left = iter(rows)
    while part := list(islice(left, 1000)):
        yield csv_text(part)
