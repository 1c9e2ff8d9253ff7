"""Refuse what would wait too long: a quick 503 is better than a queue without an end."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.middleware.problem import problem_response

OVERLOADED: Final = "OVERLOADED"


class AdmissionMiddleware:
    """Health checks pass: who cannot answer them is replaced, and that helps nobody here."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/health"):
            await self.app(scope, receive, send)
        elif self.in_flight >= self.limit:
            refusal = problem_response(
                scope,
                503,
                code=OVERLOADED,
                detail="Too many requests are waiting here. Try again in a moment.",
                headers={"Retry-After": "2"},
            )
            await refusal(scope, receive, send)
        else:
            self.in_flight += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.in_flight -= 1
