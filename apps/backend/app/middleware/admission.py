"""Refuse what would wait too long: a quick 503 is better than a queue without an end.

A request takes one of the places once its body is complete. Bodies that are still arriving have a
bound of their own, in number and in bytes; beyond it, the one that was silent longest is refused.
"""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import UnavailableError
from app.middleware.problem import problem_response

OVERLOADED: Final = "OVERLOADED"
LARGE_BODIES: Final = 64  # As many as are half there may be as large as a body gets.


class OverloadedError(UnavailableError):
    code = OVERLOADED
    text = "Too many requests are waiting here. Try again in a moment."


class AdmissionMiddleware:
    """Health checks pass: who cannot answer them is replaced, and that helps nobody here."""

    def __init__(self, app: ASGIApp, limit: int, *, body_seconds: float, body_bytes: int) -> None:
        self.app = app
        self.limit = limit
        self.body_seconds = body_seconds
        self.body_bytes = body_bytes  # Of an import, more is on the disk.
        self.in_flight = 0
        self.arriving: dict[_Body, int] = {}  # The bytes held; who was heard of last comes last.
        self.arriving_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/health"):
            await self.app(scope, receive, send)
        elif self.in_flight >= self.limit:
            headers = {"Retry-After": "2"}
            detail = OverloadedError.text
            refusal = problem_response(scope, 503, code=OVERLOADED, detail=detail, headers=headers)
            await refusal(scope, receive, send)
        else:
            self.in_flight += 1
            body = _Body(self, receive)
            try:
                await self.app(scope, body.receive, send)
            finally:
                body.leave()

    def make_room(self) -> None:
        most_bytes = LARGE_BODIES * self.body_bytes
        while len(self.arriving) > self.limit or self.arriving_bytes > most_bytes:
            next(iter(self.arriving)).give_way()


class _Body:
    """A request is at work, has a place; or it waits for its body, and is among those arriving."""

    __slots__ = (
        "admission",
        "deadline",
        "gives_way",
        "has_place",
        "is_whole",
        "more",
        "size",
        "wait",
    )

    def __init__(self, admission: AdmissionMiddleware, receive: Receive) -> None:
        self.admission = admission
        self.more = receive
        self.deadline = asyncio.get_running_loop().time() + admission.body_seconds
        self.wait: asyncio.Timeout | None = None
        self.size = 0
        self.has_place = True
        self.is_whole = self.gives_way = False

    async def receive(self) -> Message:
        """Raises HTTPException (408) if the body is not whole in time, and OverloadedError."""
        if self.is_whole:
            return await self.more()  # Until the client leaves, which may take its time.
        self._arrive()
        try:
            async with asyncio.timeout_at(self.deadline) as self.wait:
                message = await self.more()
        except TimeoutError:
            if self.gives_way:
                raise OverloadedError from None
            raise HTTPException(408, headers={"Connection": "close"}) from None
        finally:
            self.wait = None
        self.size += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        if self.is_whole:
            self._take_place()
        else:
            self._arrive()
        return message

    def _arrive(self) -> None:
        if self.gives_way:
            raise OverloadedError
        self.leave()
        size = min(self.size, self.admission.body_bytes)
        self.admission.arriving[self] = size
        self.admission.arriving_bytes += size
        self.admission.make_room()

    def _take_place(self) -> None:
        self.leave()
        if self.admission.in_flight >= self.admission.limit:
            raise OverloadedError
        self.admission.in_flight += 1
        self.has_place = True

    def give_way(self) -> None:
        self.leave()
        self.gives_way = True
        if self.wait is not None:
            self.wait.reschedule(self.deadline - self.admission.body_seconds)

    def leave(self) -> None:
        if self.has_place:
            self.admission.in_flight -= 1
            self.has_place = False
        else:
            self.admission.arriving_bytes -= self.admission.arriving.pop(self, 0)
