"""From a thread that writes to the event loop that sends, no faster than the client takes it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

CHUNK_BYTES: Final = 128 * 1024


class NobodyReadsError(Exception):
    """Ends a writer whose reader has left."""


class Outlet:
    """Made on the event loop. It holds a chunk or two, whatever is written."""

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
