"""Answers that a thread writes while they are sent. A few at once; the others are refused."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import copy_context
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
from app.db.copying import Writable
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

    def write(self, data: bytes, /) -> None:
        """Raises NobodyReadsError."""
        self._buffer += data
        if len(self._buffer) >= CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Raises NobodyReadsError."""
        if self._buffer:
            self._put(bytes(self._buffer))
            self._buffer.clear()

    def end(self) -> None:
        if not self._is_deserted:
            self._put(b"")

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
        context = copy_context()
        context.run(borrower.begin)
        threads: Threads = request.app.state.export_threads  # None of them is waited for.
        work = partial(context.run, self._write_all, outlet)
        written = threads.start(work, whose=sharer_of(request))
        written.add_done_callback(_look_at)
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

    def _write_all(self, outlet: Outlet) -> None:
        try:
            self._write(outlet)
            outlet.flush()
        finally:
            outlet.end()

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


def _look_at(done: asyncio.Future[None]) -> None:
    """Take the error of a writer whose reader has left, so that nobody reports it as lost."""
    if not done.cancelled():
        done.exception()
