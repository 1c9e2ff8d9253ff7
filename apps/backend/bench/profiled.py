"""`python -m bench.profiled`: Backdesk as production serves it, with a clock at its seams.

The clock is read some fifty times per request, which costs about half a microsecond each.
"""

import importlib
import inspect
import json
import os
import pkgutil
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.orm import Session
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

import app.crud
from app.api import deps, one_visit
from app.api.serialization import serializer_of
from app.api.short_way import ShortWay
from app.cli.protocol import GuardedProtocol
from app.cli.server import serve
from app.crud import auth as crud_auth
from app.db.driver_session import UnitOfWork
from app.db.prepared import Prepared
from app.main import Backdesk
from bench.places import SPANS
from bench.spans import Clock

# From the socket inwards.
SERVER: Final = "server"
MIDDLEWARE: Final = "middleware"
ROUTING: Final = "routing"
THREAD: Final = "thread"
HANDLER: Final = "dependencies"
AUTHENTICATION: Final = "authentication"
CRUD: Final = "crud"
SQLALCHEMY: Final = "SQLAlchemy"
PREPARED: Final = "prepared statements"
DRIVER: Final = "driver"
ANSWER: Final = "answer"

RECEIVING: Final = (GuardedProtocol, "data_received")
ANSWERING: Final = (RequestResponseCycle, "run_asgi")
LAYERS: Final[tuple[tuple[Any, str, str], ...]] = (
    (Backdesk, MIDDLEWARE, SERVER),
    (ShortWay, ROUTING, MIDDLEWARE),
)
LABEL: Final = b"user-agent"
SESSION_METHODS: Final = ("__init__", "execute", "scalar", "scalars", "flush", "commit", "close")
ROUND_TRIPS: Final = ("do_execute", "do_executemany", "do_commit", "do_rollback")


def main() -> None:
    os.environ["JOBS_ENABLED"] = "false"  # The clock knows of requests only.
    clock = Clock()
    watch_server(clock)
    watch_layers(clock)
    watch_work(clock)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # The server raises it again at its end.
    try:
        serve(port=int(sys.argv[1]), workers=1)
    finally:
        SPANS.write_text(json.dumps(clock.requests))


def watch_server(clock: Clock) -> None:
    """A request begins with its bytes, and ends when its task does."""
    receive, run_asgi = getattr(*RECEIVING), getattr(*ANSWERING)

    def data_received(self: GuardedProtocol, data: bytes) -> None:
        if clock.is_idle:
            clock.begin(SERVER)
        receive(self, data)

    async def run_to_end(self: RequestResponseCycle, application: Any) -> None:
        await run_asgi(self, application)
        clock.end_request()

    setattr(*RECEIVING, data_received)
    setattr(*ANSWERING, run_to_end)


def watch_layers(clock: Clock) -> None:
    """What a layer sends is the work of the one around it."""
    for layer, name, around in LAYERS:
        setattr(layer, "__call__", _layer(clock, layer.__call__, name, around=around))  # noqa: B010


def _layer(
    clock: Clock, inner: Callable[..., Awaitable[None]], name: str, *, around: str
) -> Callable[..., Awaitable[None]]:
    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await inner(self, scope, receive, send)
            return

        async def send_outwards(message: Message) -> None:
            with clock.span(around):
                await send(message)

        clock.label = dict(scope["headers"]).get(LABEL, b"").decode()
        with clock.span(name):
            await inner(self, scope, receive, send_outwards)

    return call


def watch_work(clock: Clock) -> None:
    clock.watch(one_visit, "run_in_time", THREAD)
    clock.watch(one_visit, "take", HANDLER)
    watch_answers(clock)
    for one in pkgutil.iter_modules(app.crud.__path__, "app.crud."):
        module = importlib.import_module(one.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == one.name and not name.startswith("_"):
                clock.watch(module, name, CRUD)
    clock.watch(crud_auth, "get_principal", AUTHENTICATION)
    clock.watch(deps, "read_access_token", AUTHENTICATION)
    clock.watch(deps, "count_user", AUTHENTICATION)
    for name in SESSION_METHODS:
        clock.watch(Session, name, SQLALCHEMY)
    clock.watch(Prepared, "_rows", PREPARED)
    clock.watch(Prepared, "_run", DRIVER)
    clock.watch(UnitOfWork, "_end", DRIVER)
    for name in ROUND_TRIPS:
        clock.watch(PGDialect_psycopg2, name, DRIVER)


def watch_answers(clock: Clock) -> None:
    def watched(route: Any) -> Callable[..., Any]:
        return clock.wrap(serializer_of(route), ANSWER)

    setattr(one_visit, "serializer_of", watched)  # noqa: B010  It is a clock's, not the product's.


if __name__ == "__main__":
    main()
