from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Receive, Scope, Send


class HostMiddleware(TrustedHostMiddleware):
    """Refuse foreign `Host` headers, but for health checks: probes ask by address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/health"):
            await self.app(scope, receive, send)
            return
        await super().__call__(scope, receive, send)
