"""Refuse foreign `Host` headers: links and caches must not be built from them."""

import re
from collections.abc import Sequence
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.middleware.problem import problem_response
from app.middleware.raw_headers import PROBES, first_header

HOST_NOT_ALLOWED: Final = "HOST_NOT_ALLOWED"

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::[0-9]*)?")

log = structlog.get_logger("backdesk.host")


class HostMiddleware:
    """`*.example.com` stands for every host below. Health checks pass: probes ask by address."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self.app = app
        hosts = [host.lower() for host in allowed_hosts]
        self.names = frozenset(f"[{host}]" if ":" in host else host for host in hosts)
        self.endings = tuple(host[1:] for host in hosts if host.startswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES or self._knows(scope):
            await self.app(scope, receive, send)
            return
        log.warning("host refused", host=first_header(scope, b"host"))
        detail = "This host is not served here; ALLOWED_HOSTS names those that are."
        refusal = problem_response(scope, 400, code=HOST_NOT_ALLOWED, detail=detail)
        await refusal(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"host"]
        found = (
            _HOST.fullmatch(given[0].decode("latin-1").strip().lower()) if len(given) == 1 else None
        )
        return found is not None and (found[1] in self.names or found[1].endswith(self.endings))
