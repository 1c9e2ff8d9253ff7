"""How new connections are taken, and how a process that is told to end stops taking them."""

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from multiprocessing import parent_process
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

        async def create_server(self, make_protocol: Any, *arguments: Any, **options: Any) -> Any:
            listener = Listener(self, make_protocol)
            listener.server = await super().create_server(listener, *arguments, **options)
            listener.sockets = listener.server.sockets
            return listener


class Listener(asyncio.AbstractServer):
    """What uvicorn asks for a protocol per connection, and tells to close."""

    def __init__(self, loop: asyncio.AbstractEventLoop, make_protocol: Any) -> None:
        self.loop = loop
        self.make_protocol = make_protocol
        self.server: Any = None
        self.sockets: Sequence[Any] = ()

    def __call__(self) -> Any:
        self._take_waiting(self.make_protocol)
        return self.make_protocol()

    def close(self) -> None:
        """Whoever has come in is answered."""
        self._take_waiting(self._make_last_protocol)
        self.server.close()

    async def wait_closed(self) -> None:
        await self.server.wait_closed()

    def _make_last_protocol(self) -> Any:
        protocol = self.make_protocol()
        protocol.shutdown()
        return protocol

    def _take_waiting(self, make_protocol: Any) -> None:
        for one in self.sockets:
            listening = socket.socket(one.family, one.type, one.proto, fileno=one.fileno())
            try:
                for _ in range(MOST_AT_ONCE):
                    connection = listening.accept()[0]
                    taken = self.loop.connect_accepted_socket(make_protocol, connection)
                    self.loop.create_task(taken)
            except OSError:
                pass  # Nobody waits, or too many files are open.
            finally:
                listening.detach()


class Supervisor(Multiprocess):
    """Processes whose parent, too, stops listening before they are told to end."""

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
            if number == signal.SIGINT:  # A second Ctrl-C is in a hurry.
                ends[number](number, frame)
        elif number == signal.SIGTERM or parent_process() is None:  # Else the parent tells, too.
            app.state.is_ending = True
            loop.call_soon_threadsafe(loop.call_later, seconds, ends[number], number, frame)

    for one in ends:
        signal.signal(one, handle)
