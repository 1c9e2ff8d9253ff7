"""The cookies of a browser's session (RFC 6265bis), and what keeps other pages from using them.

The session's tokens are out of reach of scripts; `csrf_token` is there for them to read and send
back. Only cookies are sent unasked: a bearer token is never subject to this.
"""

import hmac
from typing import Final

from fastapi import Request, Response

from app.core.clock import utc_now
from app.core.config import get_settings
from app.core.errors import PermissionDeniedError
from app.core.security import AccessToken, derive_secret, key_ids, present_key_id
from app.crud.session import OpenSession
from app.middleware.address import own_origins

CSRF_COOKIE: Final = "csrf_token"
CSRF_HEADER: Final = "x-csrf-token"


def _is_secure() -> bool:
    return get_settings().PUBLIC_URL.startswith("https:")


def access_cookie() -> str:
    """The prefix has browsers refuse one that another host, or plain HTTP, has set."""
    return "__Host-access_token" if _is_secure() else "access_token"


def refresh_cookie() -> str:
    return "__Secure-refresh_token" if _is_secure() else "refresh_token"


def set_session_cookies(
    request: Request, response: Response, *, session: OpenSession, token: AccessToken
) -> str:
    """Return the CSRF token."""
    remaining, path = int((session.expires_at - utc_now()).total_seconds()), _auth_path(request)
    csrf = csrf_token(session.id)
    _set(response, access_cookie(), token.text, seconds=token.expires_in_seconds)
    _set(response, refresh_cookie(), session.refresh_token, seconds=remaining, path=path)
    _set(response, CSRF_COOKIE, csrf, seconds=remaining, is_readable=True)
    return csrf


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


class CsrfFailedError(PermissionDeniedError):
    code = "CSRF_FAILED"
    text = "This page is out of date, or not the one where you signed in. Reload it and try again."


def csrf_token(session_id: int, *, key_id: str | None = None) -> str:
    """A token that is good for one session: an attacker's own opens nothing elsewhere."""
    return derive_secret(str(session_id), purpose="csrf", key_id=key_id or present_key_id())


def refuse_forgery(request: Request, *, session_id: int) -> None:
    """Demand of a request that a cookie authenticates that its page could read our cookies.

    Raises CsrfFailedError.
    """
    refuse_foreign_page(request)
    sent = request.headers.get(CSRF_HEADER, "").encode()
    is_same = hmac.compare_digest(sent, request.cookies.get(CSRF_COOKIE, "").encode())
    lawful = (csrf_token(session_id, key_id=key_id).encode() for key_id in key_ids())
    if not is_same or not any(hmac.compare_digest(sent, token) for token in lawful):
        raise CsrfFailedError


def refuse_foreign_page(request: Request) -> None:
    """Raises CsrfFailedError."""
    origin = request.headers.get("origin")
    own = own_origins(request.scope).union(get_settings().ALLOWED_ORIGINS) - {"*"}
    is_foreign = origin is not None and origin not in own
    if is_foreign or request.headers.get("sec-fetch-site") == "cross-site":
        raise CsrfFailedError
