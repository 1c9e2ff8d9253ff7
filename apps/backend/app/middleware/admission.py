"""Refuse what would wait too long: a quick 503 is better than a queue without an end.

A request that waits for its body has no place among those at work, but among those that arrive.
Beyond their bounds, the one that was silent for longest is given up.
"""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.config import Settings
from app.core.errors import UnavailableError
from app.middleware.problem import problem_response
from app.middleware.request_context import PROBES

OVERLOADED: Final = "OVERLOADED"
MAX_ARRIVING_BYTES: Final = 64 * 1024**2
_OF_BODY: Final = frozenset({b"content-length", b"transfer-encoding"})
IN_MEMORY_BYTES: Final = 1024**2  # Of one body: more of it, an import, is on the disk.


class OverloadedError(UnavailableError):
    code = OVERLOADED
    text = "Too many requests are waiting here. Try again in a moment."


class AdmissionMiddleware:
    """Health checks pass: who cannot answer them is replaced, and that helps nobody here."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.limit = settings.MAX_REQUESTS_IN_FLIGHT
        self.body_seconds = settings.CLIENT_TIMEOUT_SECONDS
        self.in_flight: set[Receive] = set()
        self.arriving: dict[asyncio.Timeout, int] = {}  # By when they were heard of last: bytes.
        self.arriving_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES:
            await self.app(scope, receive, send)
        elif len(self.in_flight) >= self.limit:
            detail, headers = OverloadedError.text, {"Retry-After": "2"}
            refusal = problem_response(scope, 503, code=OVERLOADED, detail=detail, headers=headers)
            await refusal(scope, receive, send)
        else:
            receive_body = receive
            if scope["method"] != "GET" and not _OF_BODY.isdisjoint(dict(scope["headers"])):
                receive_body = self._receiving(receive)
            else:
                self.in_flight.add(receive)
            try:
                await self.app(scope, receive_body, send)
            finally:
                self.in_flight.discard(receive)

    def _receiving(self, receive: Receive) -> Receive:
        """Whoever reads the body raises 408 when it is not all there in time."""
        deadline = asyncio.get_running_loop().time() + self.body_seconds
        size = 0

        async def receive_in_time() -> Message:
            nonlocal size
            if receive in self.in_flight:
                return await receive()  # Until the client leaves, which may take its time.
            wait = asyncio.timeout_at(deadline)
            try:
                async with wait:
                    self._let_wait(wait, size)
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            finally:
                self.arriving_bytes -= self.arriving.pop(wait, 0)
            size = min(size + len(message.get("body", b"")), IN_MEMORY_BYTES)
            if not message.get("more_body", False):
                if len(self.in_flight) >= self.limit:
                    raise OverloadedError
                self.in_flight.add(receive)
            return message

        return receive_in_time

    def _let_wait(self, wait: asyncio.Timeout, size: int) -> None:
        self.arriving[wait] = size
        self.arriving_bytes += size
        while len(self.arriving) > self.limit or self.arriving_bytes > MAX_ARRIVING_BYTES:
            silent = next(iter(self.arriving))
            self.arriving_bytes -= self.arriving.pop(silent)
            silent.reschedule(0)
