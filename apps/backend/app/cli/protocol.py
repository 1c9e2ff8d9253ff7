"""The server's side of a connection: what uvicorn leaves open about framing and slow clients.

What never becomes a request, or arrives too slowly, does not reach the application. It is refused
here, with the error body of every refusal, and the connection is closed.
"""

import asyncio
import sys
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.core.config import get_settings
from app.main import seen_by_every_answer
from app.middleware.problem import problem_response

if sys.platform != "win32":
    from fcntl import ioctl
    from termios import TIOCOUTQ

# Of the request line and the headers, and of whatever else comes without a byte of a body.
MAX_HEAD_BYTES: Final = 64 * 1024
# Kernels take in steps of 100 KB or so, which a slow reader needs a while for.
STALLS: Final = 5
LAST_REQUEST_SECONDS: Final = 0.5  # For what a client had sent when the server began to leave.
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
        self.head_bytes = 0  # Since the last byte of a body.
        self.is_refused = False
        self.is_leaving = False

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
        self._unset_keepalive_if_required()
        if self.deadline is None:
            self._expect_request()
        self.head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            self._read_without_offer(data[offer.args[0] :])
        except HttpParserError:
            self._refuse(400)
        else:
            if self.stage is not Stage.NOTHING and self.head_bytes > MAX_HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.stage = Stage.HEAD

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if self.head_bytes > MAX_HEAD_BYTES and self._size_of_head() > MAX_HEAD_BYTES:
            self.is_refused = True
            self.app = _refusal(431)
        super().on_headers_complete()
        self.headers = []  # Trailers are no headers: nobody sees them.
        self.stage = Stage.BODY
        if self.is_leaving:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self.head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._stop_expecting()
        self.stage = Stage.NOTHING
        self.head_bytes = 0

    def _read_without_offer(self, rest: bytes) -> None:
        """Read the request again as if it offered no other protocol. The parser has ended it with
        its head, and would take its body for the next request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(400)
            return
        head = b"%s %s HTTP/%s\r\n" % (method, self.url, self.parser.get_http_version().encode())
        kept = (b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self.parser = HttpRequestParser(self)
        self.head_bytes = 0
        self.data_received(b"".join([head, *kept, b"\r\n", rest]))

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
        self._await_reader(STALLS, self._unread_bytes())

    def _await_reader(self, left: int, before: int) -> None:
        unread = self._unread_bytes()
        left = STALLS if unread < before else left - 1
        if left < 0:
            self.transport.abort()
            return
        self.sending_deadline = self.loop.call_later(
            self.patience_seconds, self._await_reader, left, unread
        )

    def _unread_bytes(self) -> int:
        """Count what the client has not taken yet, the kernel's part too where it tells."""
        unread: int = self.transport.get_write_buffer_size()
        if sys.platform != "win32":
            with suppress(OSError):
                number = self.transport.get_extra_info("socket").fileno()
                unread += int.from_bytes(ioctl(number, TIOCOUTQ, bytes(4)), sys.byteorder)
        return unread

    def resume_writing(self) -> None:
        if self.sending_deadline is not None:
            self.sending_deadline.cancel()
            self.sending_deadline = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Answer what is on its way: the client could not know."""
        self.is_leaving = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        self.loop.call_later(LAST_REQUEST_SECONDS, self._leave)

    def _leave(self) -> None:
        if self.stage is Stage.NOTHING and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    # --- Refusals

    def _refuse(self, status: int) -> None:
        """Answer in turn, after what is still at work for this connection, and close."""
        self.is_refused = True
        if self.stage is Stage.BODY and self.pipeline:
            self.pipeline[0] = self.cycle, _refusal(status)
            return
        if self.stage is Stage.BODY:
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True  # So that nobody waits for the rest of its body.
            self.cycle.message_event.set()
            self.cycle = None  # type: ignore[assignment]  # As before the first.
        self.app = _refusal(status)
        self.parser = HttpRequestParser(self)
        self.parser.feed_data(_STAND_IN)


def _refusal(status: int) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await problem_response(scope, status, headers={"Connection": "close"})(scope, receive, send)

    return seen_by_every_answer(refuse)
