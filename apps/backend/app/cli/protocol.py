"""The server's side of a connection: what uvicorn leaves open about framing and slow clients.

What never becomes a request, or arrives too slowly, does not reach the application. It is refused
here, as every refusal is, and the connection is closed.
"""

import asyncio
import sys
from contextlib import suppress
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.core.config import get_settings
from app.main import seen_by_every_answer
from app.middleware.problem import problem_response

if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

MAX_HEAD_BYTES: Final = 64 * 1024  # Of a head, or of trailers: of all that is no body.
LOOKS: Final = 2  # At a connection, in the time that a client may take.
# Kernels take in steps of 100 KB or so, which a slow reader needs a while for.
STALLS: Final = 5 * LOOKS
LAST_REQUEST_SECONDS: Final = 0.5
# HTTP/1.0, so that the connection ends with the answer.
_STAND_IN: Final = b"GET / HTTP/1.0\r\n\r\n"


class UnknownCodingError(Exception):
    """The body is chunked, and something else as well (RFC 9112, section 6.1)."""


class GuardedProtocol(HttpToolsProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.patience_seconds = get_settings().CLIENT_TIMEOUT_SECONDS
        self.expected_since: float | None = self.loop.time()  # A request, or the rest of one.
        self.head_bytes = 0  # Since the last byte of a body.
        self.is_in_body = self.is_refused = self.is_ending = False
        self.untaken_bytes = self.stalls = 0

    # --- What arrives

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self.expected_since = self.expected_since or self.loop.time()
        while data and not self.is_refused:
            room = MAX_HEAD_BYTES - self.head_bytes
            piece, data = data[:room], data[room:]
            self.head_bytes += len(piece)
            try:
                self.parser.feed_data(piece)
            except HttpParserUpgrade as offer:
                data = self._begin_without_offer() + piece[offer.args[0] :] + data
            except HttpParserError as error:
                self._refuse(501 if isinstance(error.__context__, UnknownCodingError) else 400)
            else:
                if self.head_bytes >= MAX_HEAD_BYTES:
                    self._refuse(431)

    def _begin_without_offer(self) -> bytes:
        """Write the head anew, as of a request that offers no other protocol. The parser has ended
        it here, and would take its body for the next one.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refuse(400)
        kept = (b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self.parser = HttpRequestParser(self)
        self.head_bytes = 0
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, b"".join(kept))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        _refuse_unknown_codings(self.headers)
        super().on_headers_complete()
        self.headers = []  # For trailers: nobody reads them.
        self.is_in_body = True
        if self.is_ending:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self.head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self.expected_since = None
        self.is_in_body = False
        self.head_bytes = 0

    # --- What takes too long

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As in uvicorn.
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self.next_look.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        self.next_look = self.loop.call_later(self.patience_seconds / LOOKS, self._look)
        now = self.loop.time()
        cycle: RequestResponseCycle | None = self.cycle
        if self.flow.write_paused or self.transport.is_closing():
            self._look_at_reader()
        elif self.expected_since is None:
            return
        elif cycle is not None and not cycle.response_complete:
            self.expected_since = now  # The one before is at work, or its body is read.
        elif now - self.expected_since >= self.patience_seconds:
            if self.head_bytes and not self.is_in_body:
                self._refuse(408)
            else:
                self.transport.close()

    def _look_at_reader(self) -> None:
        """Whatever it takes, even of what the kernel holds, is enough."""
        untaken = self.transport.get_write_buffer_size()
        if sys.platform == "linux":
            with suppress(OSError, ValueError):  # It is closed just now.
                connection = self.transport.get_extra_info("socket")
                untaken += int.from_bytes(ioctl(connection, TIOCOUTQ, bytes(4)), sys.byteorder)
        self.stalls = self.stalls + 1 if untaken == self.untaken_bytes else 0
        self.untaken_bytes = untaken
        if self.stalls >= STALLS:
            self.transport.abort()

    def shutdown(self) -> None:
        """Answer what is on its way: its client could not know."""
        self.is_ending = True
        self.loop.call_later(LAST_REQUEST_SECONDS, super().shutdown)

    # --- Refusals

    def _refuse(self, status: int) -> None:
        """Answer in turn, after what is still at work for this connection, and close."""
        self.is_refused = True
        self.app = _refusal(status)
        if self.is_in_body and self.pipeline:
            self.pipeline[0] = self.cycle, self.app
        elif self.is_in_body and self.cycle.response_started:
            self.transport.close()
        else:
            if self.is_in_body:
                self.cycle.disconnected = True  # So that nobody waits for the rest of its body.
                self.cycle.message_event.set()
                self.cycle = None  # type: ignore[assignment]  # As before the first.
            self.parser = HttpRequestParser(self)
            self.parser.feed_data(_STAND_IN)


def _refuse_unknown_codings(headers: list[tuple[bytes, bytes]]) -> None:
    """What does not end in one `chunked` the parser refuses by itself."""
    given = b",".join(value for name, value in headers if name == b"transfer-encoding").lower()
    codings = [one.strip() for one in given.split(b",") if one.strip()]
    if codings[-1:] == [b"chunked"] and set(codings) != {b"chunked"}:
        raise UnknownCodingError


def _refusal(status: int) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await problem_response(scope, status, headers={"Connection": "close"})(scope, receive, send)

    return seen_by_every_answer(refuse)
