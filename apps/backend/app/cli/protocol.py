"""The server's side of a connection, guarded against clients that are slow or speak no HTTP.

What never becomes a request, or arrives too slowly, does not reach the application; here it is
answered as every refusal is.
"""

import asyncio
from enum import Enum, auto
from typing import Any, Final

from httptools import HttpRequestParser
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.core.config import get_settings
from app.main import seen_by_every_answer
from app.middleware.problem import problem_response

MAX_HEAD_BYTES: Final = 64 * 1024  # Of the request line and the headers.
# HTTP/1.0, so that the connection ends with the answer.
_STAND_IN: Final = b"GET / HTTP/1.0\r\n\r\n"


class Stage(Enum):
    """What of a request has begun to arrive."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class GuardedProtocol(HttpToolsProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.patience_seconds = get_settings().CLIENT_TIMEOUT_SECONDS
        self.deadline: asyncio.TimerHandle | None = None  # For a request to arrive.
        self.sending_deadline: asyncio.TimerHandle | None = None
        self.stage = Stage.NOTHING
        self.head_bytes = 0
        self.is_refused = False

    # --- What arrives

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As in uvicorn.
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.is_refused:
            return
        if self.deadline is None:
            self._expect_request()
        if self.stage is not Stage.BODY:
            self.head_bytes += len(data)
        super().data_received(data)
        if self.stage is Stage.HEAD and self.head_bytes > MAX_HEAD_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.stage = Stage.HEAD

    def on_headers_complete(self) -> None:
        if self.head_bytes > MAX_HEAD_BYTES and self._size_of_head() > MAX_HEAD_BYTES:
            self.is_refused = True
            self.app = _refusal(431)
        super().on_headers_complete()
        self.stage = Stage.BODY

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop_expecting()
        self.stage = Stage.NOTHING
        self.head_bytes = 0

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    # --- What takes too long

    def _expect_request(self) -> None:
        self.deadline = self.loop.call_later(self.patience_seconds, self._give_up)

    def _stop_expecting(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _give_up(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._expect_request()  # The application is at work on the one before, or on its body.
        elif self.stage is Stage.HEAD:
            self._refuse(408)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.sending_deadline = self.loop.call_later(self.patience_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self.sending_deadline is not None:
            self.sending_deadline.cancel()
            self.sending_deadline = None
        super().resume_writing()

    # --- Refusals

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is answered as if it had not asked for another protocol."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  The answer's own words are better.
        """Called where the parser understands nothing any more."""
        if self.stage is not Stage.BODY:
            self._refuse(400)
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.disconnected = True  # So that nobody waits for the rest of its body.
            self.cycle.message_event.set()
            self.cycle = None  # type: ignore[assignment]  # As before the first.
            self._refuse(400)

    def _refuse(self, status: int) -> None:
        """Answer in turn, after what is still at work for this connection, and close."""
        self.is_refused = True
        self.app = _refusal(status)
        self.parser = HttpRequestParser(self)
        self.parser.feed_data(_STAND_IN)


def _refusal(status: int) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await problem_response(scope, status, headers={"Connection": "close"})(scope, receive, send)

    return seen_by_every_answer(refuse)
