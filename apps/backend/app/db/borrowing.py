"""Who holds which connection, so that one who waits in vain can be freed from outside.

A database that is frozen, not closed, ends no wait by itself: its kernel still acknowledges, so
neither the driver nor TCP ever gives up. Shutting down the socket makes the driver return.
"""

import os
import socket
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from threading import Lock
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.errors import UnavailableError

_RESET: Final = struct.pack("ii", 1, 0)  # Linger for no time.
_BORROWER: Final = "borrower"  # The key of a pooled connection's `info`.


class RequestTimeoutError(UnavailableError):
    code = "REQUEST_TIMEOUT"
    text = "This took too long and was given up. Try again in a moment."


class Borrower:
    """A piece of work, and the connections that it holds at the moment."""

    def __init__(self) -> None:
        self._held: set[Any] = set()
        self._lock = Lock()
        self._is_given_up = False

    def context(self) -> Context:
        """Return a context in which borrowed connections belong to this borrower."""
        context = copy_context()
        context.run(_present.set, self)
        return context

    def give_up(self) -> None:
        """End what the work waits for in the database, and let it begin nothing new there."""
        with self._lock:
            self._is_given_up = True
            for connection in self._held:
                _cut_off(connection)

    def refuse_if_given_up(self) -> None:
        """Raises RequestTimeoutError."""
        if self._is_given_up:
            raise RequestTimeoutError

    def take(self, connection: Any) -> None:
        """Raises RequestTimeoutError."""
        with self._lock:
            self.refuse_if_given_up()
            self._held.add(connection)

    def give_back(self, connection: Any) -> bool:
        """Tell whether the connection is still whole."""
        with self._lock:
            self._held.discard(connection)
            return not self._is_given_up


_present: Final[ContextVar[Borrower | None]] = ContextVar("borrower", default=None)


@contextmanager
def on_its_own() -> Iterator[None]:
    """What is done in here goes on to its end, also when the request that began it is given up."""
    token = _present.set(None)
    try:
        yield
    finally:
        _present.reset(token)


def refuse_if_given_up() -> None:
    """Raises RequestTimeoutError where nobody waits for the present work any longer."""
    if (borrower := _present.get()) is not None:
        borrower.refuse_if_given_up()


def note_borrowers(engine: Engine) -> None:
    # First of all: what else is done with a new or an idle connection may already wait in vain.
    event.listen(engine, "connect", _note_loan, insert=True)
    event.listen(engine, "checkout", _note_loan, insert=True)
    event.listen(engine, "checkin", _note_return)
    event.listen(engine, "close", _note_end)


def _note_loan(connection: Any, record: ConnectionPoolEntry, *_: object) -> None:
    if (borrower := _present.get()) is not None:
        borrower.take(connection)
        record.info[_BORROWER] = borrower


def _note_return(connection: Any, record: ConnectionPoolEntry) -> None:
    borrower: Borrower | None = record.info.pop(_BORROWER, None)
    if borrower is not None and not borrower.give_back(connection):
        record.invalidate()


def _note_end(connection: Any, record: ConnectionPoolEntry) -> None:
    borrower: Borrower | None = record.info.get(_BORROWER)
    if borrower is not None:
        borrower.give_back(connection)  # Its descriptor may soon be somebody else's.


def _cut_off(connection: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.interrupt()
    elif not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as twin:
            if twin.family != socket.AF_UNIX:
                # The end is to reach also a server that is itself waiting, to send more.
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            twin.shutdown(socket.SHUT_RDWR)
