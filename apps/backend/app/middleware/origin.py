"""Which pages may call the API from a browser (CORS), and what is said to the others."""

from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.config import get_settings
from app.middleware.problem import problem_response
from app.middleware.request_context import first_header

ORIGIN_NOT_ALLOWED: Final = "ORIGIN_NOT_ALLOWED"
_LONGEST_LOGGED: Final = 200

log = structlog.get_logger("backdesk.origin")


class OriginMiddleware(CORSMiddleware):
    """Starlette's own, which also says why it refuses. A browser shows that to nobody: the log
    names the origin. Without `allow_origins` there are no headers at all.
    """

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        super().__init__(app, **options)
        self.next = super().__call__ if self.allow_origins else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin, app = first_header(scope, b"origin"), self.next
        if origin is not None and not self.is_allowed_origin(origin):
            asked = first_header(scope, b"access-control-request-method")
            is_preflight = scope["method"] == "OPTIONS" and asked is not None
            if is_preflight or origin not in own_origins(scope):
                shown = "".join(filter(str.isprintable, origin[:_LONGEST_LOGGED]))
                log.warning("origin is not in ALLOWED_ORIGINS", origin=shown)
            if is_preflight:
                detail = "Pages of this origin may not call the API. Add it to ALLOWED_ORIGINS."
                vary = {"Vary": self.preflight_headers["Vary"]}
                app = problem_response(
                    scope, 400, code=ORIGIN_NOT_ALLOWED, detail=detail, headers=vary
                )
        await app(scope, receive, send)


def own_origins(scope: Scope) -> set[str]:
    public = urlsplit(get_settings().PUBLIC_URL)
    host = first_header(scope, b"host") or ""  # One of ALLOWED_HOSTS.
    # Behind a proxy a request comes without TLS; a page that did may be anybody's.
    scheme = "https" if public.scheme == "https" else scope["scheme"]
    return {f"{public.scheme}://{public.netloc.lower()}", f"{scheme}://{host.lower()}"}
