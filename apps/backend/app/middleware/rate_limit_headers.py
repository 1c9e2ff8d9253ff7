"""Tell how much is left of each limit that a request was counted for, on every answer to it.

The headers are those of draft-ietf-httpapi-ratelimit-headers: lists of structured fields.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.rate_limit import Standing

# The key in the scope's state: standings by the name of their limit.
STANDINGS: Final = "rate_limits"


class RateLimitHeadersMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                counted = scope["state"].get(STANDINGS, {}).values()
                if standings := [one for limit in counted for one in limit]:
                    message["headers"] = [*message["headers"], *_headers(standings)]
            await send(message)

        await self.app(scope, receive, send_with_limits)


def _headers(standings: list[Standing]) -> list[tuple[bytes, bytes]]:
    policies = (f'"{s.window.name}";q={s.window.quota};w={s.window.seconds}' for s in standings)
    left = (f'"{s.window.name}";r={s.remaining};t={s.reset_seconds}' for s in standings)
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(left).encode()),
    ]
