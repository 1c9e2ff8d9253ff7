"""Refuse requests to an address that is not ours or cannot be read, and from foreign origins."""

import re
import string
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.config import get_settings
from app.core.text import is_utf8
from app.middleware.problem import problem_response
from app.middleware.request_context import PROBES, first_header

HOST_NOT_ALLOWED: Final = "HOST_NOT_ALLOWED"
ORIGIN_NOT_ALLOWED: Final = "ORIGIN_NOT_ALLOWED"
MAX_LOGGED_ORIGINS: Final = 100  # Foreign origins: anybody can make them up.

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::[0-9]*)?")

log = structlog.get_logger("backdesk.host")


class AddressMiddleware:
    """Without `allowed_hosts`, any will do; `*.example.com` stands for every host below. Health
    checks pass: probes ask by address.

    URLs are UTF-8 in percent signs (RFC 3986). Other bytes are refused, not read as U+FFFD.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self.app = app
        hosts = [host.lower() for host in allowed_hosts]
        self.names = frozenset(f"[{host}]" if ":" in host else host for host in hosts)
        self.endings = tuple(host[1:] for host in hosts if host.startswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if not _is_readable(scope):
            app = problem_response(scope, 400, detail="The URL is not UTF-8.")
        elif self.names and scope["path"] not in PROBES and not self._knows(scope):
            log.warning("host refused", host=first_header(scope, b"host"))
            detail = "This host is not served here; ALLOWED_HOSTS names those that are."
            app = problem_response(scope, 400, code=HOST_NOT_ALLOWED, detail=detail)
        await app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"host"]
        found = (
            _HOST.fullmatch(given[0].decode("latin-1").strip().lower()) if len(given) == 1 else None
        )
        return found is not None and (found[1] in self.names or found[1].endswith(self.endings))


def _is_readable(scope: Scope) -> bool:
    query: bytes = scope["query_string"]
    if not query.isascii():  # As curl sends what was typed.
        scope["query_string"] = query = quote(query, safe=string.printable).encode()
    return (b"%" not in query or is_utf8(unquote_to_bytes(query))) and "\ufffd" not in scope["path"]


class OriginMiddleware(CORSMiddleware):
    """Starlette's own, which also logs each foreign origin once: browsers do not say why."""

    logged: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = first_header(scope, b"origin")
        app = super().__call__ if self.allow_origins else self.app
        if origin is not None and not self.is_allowed_origin(origin):
            if origin in own_origins(scope):
                app = self.app
            else:
                self._log_once(origin)
                if first_header(scope, b"access-control-request-method") is not None:
                    code, vary = ORIGIN_NOT_ALLOWED, {"Vary": "Origin"}
                    detail = "Pages of this origin may not call the API. Add it to ALLOWED_ORIGINS."
                    app = problem_response(scope, 400, code=code, detail=detail, headers=vary)
        await app(scope, receive, send)

    def _log_once(self, origin: str) -> None:
        shown = "".join(filter(str.isprintable, origin[:200]))
        if shown not in self.logged and len(self.logged) < MAX_LOGGED_ORIGINS:
            self.logged |= {shown}
            log.warning("origin is not in ALLOWED_ORIGINS", origin=shown)


def own_origins(scope: Scope) -> set[str]:
    public = urlsplit(get_settings().PUBLIC_URL)
    host = first_header(scope, b"host") or ""  # One of ALLOWED_HOSTS.
    # Behind a proxy a request comes without TLS; a page that did may be anybody's.
    scheme = "https" if public.scheme == "https" else scope["scheme"]
    return {f"{public.scheme}://{public.netloc.lower()}", f"{scheme}://{host.lower()}"}
