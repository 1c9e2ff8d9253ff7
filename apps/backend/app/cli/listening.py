"""How new connections are taken, and how a process that is told to end stops taking them."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import parent_process
from socket import socket
from types import FrameType
from typing import Any, Final

from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

MOST_AT_ONCE: Final = 64  # Other processes take the rest.
LOOP: Final = "auto" if sys.platform == "win32" else "app.cli.listening:EagerLoop"

if sys.platform != "win32":
    import uvloop

    class EagerLoop(uvloop.Loop):
        """Takes many new connections per turn. libuv takes one, and with many clients a turn is as
        long as answering each of them.
        """

        async def create_server(  # type: ignore[override]  # As uvicorn calls it.
            self, make_protocol: Any, *arguments: Any, **options: Any
        ) -> Any:
            listener = Listener(self, make_protocol)
            listener.server = await super().create_server(listener, *arguments, **options)
            return listener


class Listener:
    """Stands for the loop's server, and for what makes a protocol of each new connection."""

    server: Any = None

    def __init__(self, loop: asyncio.AbstractEventLoop, make_protocol: Any) -> None:
        self.loop = loop
        self.make_protocol = make_protocol

    def __call__(self) -> Any:
        self._take_waiting([one.dup() for one in self.server.sockets])
        return self.make_protocol()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.server, name)

    def close(self) -> None:
        """Who has come in is answered: what waits is taken last, from copies of the sockets."""
        copies = [one.dup() for one in self.server.sockets]
        self.server.close()
        self._take_waiting(copies)

    def _take_waiting(self, copies: Sequence[socket]) -> None:
        for copy in copies:
            # An error says that nobody waits, or that too many files are open.
            with suppress(OSError), copy as listening:
                for _ in range(MOST_AT_ONCE):
                    taken, _ = listening.accept()
                    connect = self.loop.connect_accepted_socket(self.make_protocol, taken)
                    self.loop.create_task(connect)


class Supervisor(Multiprocess):
    """Its processes are told to end when it, too, has stopped listening."""

    def terminate_all(self) -> None:
        for listening in self.sockets:
            listening.close()
        super().terminate_all()


def end_after(seconds: float, app: FastAPI) -> None:
    """When told to end, be not ready first, and serve on for a while. Called in the thread of the
    event loop, once the server handles signals.
    """
    loop = asyncio.get_running_loop()
    ends: dict[int, Any] = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        if app.state.is_ending:
            if number == signal.SIGINT:  # A second Ctrl-C skips the delay.
                ends[number](number, frame)
        elif number == signal.SIGTERM or parent_process() is None:  # Else the parent tells, too.
            app.state.is_ending = True
            loop.call_soon_threadsafe(loop.call_later, seconds, ends[number], number, frame)

    for one in ends:
        signal.signal(one, handle)
