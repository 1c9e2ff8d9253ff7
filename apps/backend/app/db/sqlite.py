"""What SQLite must be told, so that it behaves as PostgreSQL does."""

import sqlite3
import time
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.statements import WITHIN_SECONDS

# The execution option of connections on which every statement is its own transaction.
SINGLE_STATEMENTS: Final = "single_statements"
_ENDS_AT: Final = "ends_at"  # The key of a connection's `info`: when its statement is too long.
_STEPS_BETWEEN_CHECKS: Final = 2_000  # One may compare a long text, which takes a millisecond.


def adapt(engine: Engine, *, statement_seconds: float) -> None:
    def start_clock(connection: Connection, *arguments: Any) -> None:
        _cursor, _statement, _parameters, context, _is_many = arguments
        seconds = context.execution_options.get(WITHIN_SECONDS, statement_seconds)
        connection.info[_ENDS_AT] = time.monotonic() + seconds

    event.listen(engine, "connect", _tune)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "before_cursor_execute", start_clock)


def _tune(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")

    def takes_too_long() -> bool:
        ends_at: float = record.info.get(_ENDS_AT, float("inf"))
        return time.monotonic() > ends_at

    connection.set_progress_handler(takes_too_long, _STEPS_BETWEEN_CHECKS)


def _begin(connection: Connection) -> None:
    """Take SQLite's write lock at the start: a unit that reads first could not get it later."""
    options = connection.get_execution_options()
    if not options.get(SINGLE_STATEMENTS) and options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
