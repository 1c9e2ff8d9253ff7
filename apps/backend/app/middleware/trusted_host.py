"""Refuse foreign `Host` headers: links and caches must not be built from them."""

from collections.abc import Sequence
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.middleware.problem import problem_response
from app.middleware.raw_headers import first_header

HOST_NOT_ALLOWED: Final = "HOST_NOT_ALLOWED"

log = structlog.get_logger("backdesk.host")


class HostMiddleware:
    """`*.example.com` stands for every host below. Health checks pass: probes ask by address."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self.app = app
        self.names = frozenset(host for host in allowed_hosts if not host.startswith("*"))
        self.endings = tuple(host[1:] for host in allowed_hosts if host.startswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/health") or self._knows(scope):
            await self.app(scope, receive, send)
            return
        log.warning("host refused", host=first_header(scope, b"host"))
        refusal = problem_response(
            scope,
            400,
            code=HOST_NOT_ALLOWED,
            detail="This host is not served here; ALLOWED_HOSTS names those that are.",
        )
        await refusal(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = first_header(scope, b"host") or ""
        host = given.rpartition("]")[2].partition(":")[0].lower()
        return host in self.names or (bool(self.endings) and host.endswith(self.endings))
