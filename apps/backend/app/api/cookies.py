"""The cookies of a browser's session (RFC 6265bis).

The tokens are out of reach of scripts; `csrf_token` is there for them to read and send back.
"""

from datetime import datetime

from fastapi import Request, Response

from app.api.csrf import CSRF_COOKIE, csrf_token
from app.core.clock import utc_now
from app.core.config import get_settings


def _is_secure() -> bool:
    return get_settings().PUBLIC_URL.startswith("https:")


def access_cookie() -> str:
    """The prefix has browsers refuse one that another host, or plain HTTP, has set."""
    return "__Host-access_token" if _is_secure() else "access_token"


def refresh_cookie() -> str:
    return "__Secure-refresh_token" if _is_secure() else "refresh_token"


def set_session_cookies(
    request: Request,
    response: Response,
    *,
    session_id: int,
    access_token: str,
    expires_in_seconds: int,
    refresh_token: str,
    session_expires_at: datetime,
) -> str:
    """Return the CSRF token."""
    remaining = int((session_expires_at - utc_now()).total_seconds())
    token = csrf_token(session_id)
    _set(response, access_cookie(), access_token, seconds=expires_in_seconds)
    _set(response, refresh_cookie(), refresh_token, seconds=remaining, path=_auth_path(request))
    _set(response, CSRF_COOKIE, token, seconds=remaining, is_readable=True)
    return token


def clear_session_cookies(request: Request, response: Response) -> None:
    _set(response, access_cookie(), "", seconds=0)
    _set(response, refresh_cookie(), "", seconds=0, path=_auth_path(request))
    _set(response, CSRF_COOKIE, "", seconds=0, is_readable=True)


def _auth_path(request: Request) -> str:
    """The refresh token goes to the routes that take it, and nowhere else."""
    root: str = request.scope.get("root_path", "").rstrip("/")
    return f"{root}{get_settings().API_V1_STR}/auth"


def _set(
    response: Response,
    name: str,
    value: str,
    *,
    seconds: int,
    path: str = "/",
    is_readable: bool = False,
) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        secure=_is_secure(),
        httponly=not is_readable,
        samesite="lax",
    )
