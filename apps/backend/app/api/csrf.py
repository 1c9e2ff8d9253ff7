"""What a browser does on another site's behalf is refused. Only cookies are sent unasked: a bearer
token is never subject to this.
"""

import hmac
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from app.core.config import get_settings
from app.core.errors import PermissionDeniedError
from app.core.security import derive_secret, key_ids, present_key_id

CSRF_COOKIE: Final = "csrf_token"
CSRF_HEADER: Final = "x-csrf-token"


class CsrfFailedError(PermissionDeniedError):
    code = "CSRF_FAILED"
    text = "This request does not come from where you signed in. Load the page anew."


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
    is_foreign = origin is not None and origin not in _own_origins(request)
    if is_foreign or request.headers.get("sec-fetch-site") == "cross-site":
        raise CsrfFailedError


def _own_origins(request: Request) -> set[str]:
    public = urlsplit(get_settings().PUBLIC_URL)
    host = request.headers.get("host", "")  # One of ALLOWED_HOSTS.
    # Behind a proxy a request comes without TLS; a page that did may be anybody's.
    scheme = "https" if public.scheme == "https" else request.url.scheme
    own = {f"{public.scheme}://{public.netloc.lower()}", f"{scheme}://{host.lower()}"}
    return own.union(get_settings().ALLOWED_ORIGINS) - {"*"}
