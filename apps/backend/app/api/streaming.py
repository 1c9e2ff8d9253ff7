"""Answers that a thread writes while they are sent. A few at once; the others are refused."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.limits import sharer_of
from app.api.threads import Threads
from app.core.config import get_settings
from app.core.errors import DomainError, UnavailableError
from app.db.borrowing import Borrower, RequestTimeoutError
from app.db.driver_session import Writable
from app.db.integrity import cause_of
from app.middleware.answer_headers import is_head

CHUNK_BYTES: Final = 128 * 1024

log = structlog.get_logger("backdesk.streaming")


class TooManyExportsError(UnavailableError):
    code = "TOO_MANY_EXPORTS"
    text = "As many exports as may run at once are running. Try again in a moment."


class NobodyReadsError(Exception):
    """Ends a writer whose reader has left."""


class Outlet:
    """From a thread that writes to the event loop that sends, no faster than the client takes it.
    It holds a chunk or two, whatever is written.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)
        self._buffer = bytearray()
        self._is_deserted = False

    # --- In the thread

    def take_all(self, write: "Callable[[Outlet], None]") -> None:
        """Raises NobodyReadsError."""
        try:
            write(self)
            self._flush()
        finally:
            if not self._is_deserted:
                self._put(b"")  # The end.

    def write(self, data: bytes, /) -> None:
        """Raises NobodyReadsError."""
        self._buffer += data
        if len(self._buffer) >= CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._put(bytes(self._buffer))
            self._buffer.clear()

    def _put(self, chunk: bytes) -> None:
        """Wait until there is room for it."""
        if self._is_deserted:
            raise NobodyReadsError
        asyncio.run_coroutine_threadsafe(self._chunks.put(chunk), self._loop).result()

    # --- On the event loop

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self._chunks.get():
            yield chunk

    def desert(self) -> None:
        """Let go of a writer who waits."""
        self._is_deserted = True
        while not self._chunks.empty():
            self._chunks.get_nowait()


class StreamedResponse(Response):
    """The thread starts with the sending, and ends with it: when all is written, the client has
    left, or the time is up.

    What goes wrong before the first byte is answered as everywhere. After it the answer is broken
    off, so that nobody takes a part for the whole.
    """

    def __init__(
        self, write: Callable[[Writable], None], *, media_type: str, headers: Mapping[str, str]
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)  # Without a length, since there is no body yet.
        self._write = write
        self._is_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_head(scope):
            await self._finish(send)
            return
        try:
            await self._stream(Request(scope), receive, send)
        except (DomainError, DBAPIError) as error:
            if not self._is_started:
                raise
            log.warning("answer broken off", cause=cause_of(error))

    async def _stream(self, request: Request, receive: Receive, send: Send) -> None:
        outlet, borrower = Outlet(), Borrower()
        threads: Threads = request.app.state.export_threads  # None of them is waited for.
        work = partial(borrower.context().run, outlet.take_all, self._write)
        written = threads.start(work, whose=sharer_of(request))
        # The error of a writer whose reader has left is taken, so that nobody reports it as lost.
        written.add_done_callback(lambda done: done.cancelled() or done.exception())
        sending = asyncio.ensure_future(self._send_all(outlet, written, send))
        leaving = asyncio.ensure_future(_departure(receive))
        try:
            await asyncio.wait(
                {sending, leaving},
                timeout=get_settings().EXPORT_TIMEOUT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if sending.done():
                sending.result()
            elif not leaving.done():
                raise RequestTimeoutError
        finally:
            sending.cancel()
            leaving.cancel()
            borrower.give_up()
            outlet.desert()

    async def _send_all(self, outlet: Outlet, written: asyncio.Future[None], send: Send) -> None:
        async for chunk in outlet.chunks():
            await self._start(send)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await written  # Raises what the writer has met.
        await self._finish(send)

    async def _start(self, send: Send) -> None:
        if not self._is_started:
            self._is_started = True
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    async def _finish(self, send: Send) -> None:
        await self._start(send)
        await send({"type": "http.response.body", "body": b""})


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
