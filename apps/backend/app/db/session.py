"""The engine and its sessions. The one place that commits.

Nothing connects before the first statement: importing the application needs no database.
"""

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from app.core.config import Settings, get_settings
from app.core.origin import Origin
from app.core.security import HASHES_AT_ONCE
from app.db import sqlite
from app.db.borrowing import note_borrowers, refuse_if_given_up
from app.db.driver_session import (
    ExportingSession,
    ReadingSession,
    UnitOfWork,
    copy_where_asked,
    end_open_transaction,
)
from app.db.integrity import USELESS
from app.db.sqlite import SINGLE_STATEMENTS
from app.db.statements import LOCAL_SETTINGS, put_before

IDLE_SECONDS_BEFORE_PING: Final = 5.0
JOB_THREADS: Final = 1
ORIGIN: Final = "origin"  # The key of a session's `info`: who is at work in it.
_REHEARSAL: Final = "rehearsal"  # Likewise: nothing of it is to stay.

_building = threading.Lock()


class _Database:
    def __init__(self) -> None:
        settings = get_settings()
        long_ones = settings.IMPORTS_AT_ONCE + settings.EXPORTS_AT_ONCE
        threads = settings.DB_POOL_SIZE + long_ones + HASHES_AT_ONCE + JOB_THREADS
        self.engine = _engine_of(settings, size=threads)  # A connection for every one of them.
        self.exporting = _create_export_engine(settings)
        reading = self.engine.execution_options(**{SINGLE_STATEMENTS: True})
        options: dict[str, Any] = {"expire_on_commit": False, "close_resets_only": False}
        self.units = sessionmaker(self.engine, class_=UnitOfWork, **options)
        options["autoflush"] = False
        self.reads = sessionmaker(reading, class_=ReadingSession, **options)
        self.exports = sessionmaker(self.exporting, class_=ExportingSession, **options)


_build = lru_cache(_Database)


def get_engine() -> Engine:
    return _database().engine


def _database() -> _Database:
    with _building:  # First uses in several threads must not make several pools.
        return _build()


def _create_export_engine(settings: Settings) -> Engine:
    """Of connections with other settings. They are kept: a new one costs as much as some thousand
    rows.
    """
    engine = _engine_of(
        settings,
        size=settings.EXPORTS_AT_ONCE,
        seconds=settings.EXPORT_TIMEOUT_SECONDS,
        application_name="backdesk-export",
        # It looks whether anybody is still there, also while it has nothing to send.
        client_connection_check_interval="1s",
    )
    if settings.is_sqlite:
        return engine.execution_options(**{SINGLE_STATEMENTS: True})  # It must keep no writer out.
    event.listen(engine, "do_execute", copy_where_asked)
    return engine.execution_options(postgresql_readonly=True)


def create_migration_engine() -> Engine:
    """It goes past a pooler, where `DATABASE_DIRECT_URL` names a way."""
    settings = get_settings()
    return _engine_of(settings, url=settings.migration_url, size=1)


def _engine_of(
    settings: Settings, *, url: URL | None = None, size: int, seconds: float = 0, **more: str
) -> Engine:
    engine = create_engine(
        url or settings.database_url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=settings.DB_POOL_TIMEOUT_SECONDS,
        hide_parameters=True,
        connect_args=_connect_args(settings),
    )
    seconds = seconds or settings.STATEMENT_TIMEOUT_SECONDS
    if settings.is_sqlite:
        with suppress(OSError):  # Connecting tells what is wrong with the place.
            folder = Path(str(settings.database_url.database)).parent
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sqlite.adapt(engine, statement_seconds=seconds)
    else:
        event.listen(engine, "connect", partial(_set_up, _server_settings(seconds) | more))
        event.listen(engine, "begin", _open_transaction)
        event.listen(engine, "reset", end_open_transaction)
        event.listen(engine, "handle_error", _leave_useless)
        event.listen(engine, "before_cursor_execute", put_before, retval=True)
    note_borrowers(engine)
    event.listen(engine, "checkin", _note_return)
    event.listen(engine, "checkout", _ping_if_idle)
    return engine


@contextmanager
def unit_of_work(origin: Origin | None = None) -> Iterator[Session]:
    """Commit when the block ends well, roll back when it raises, and when it was a rehearsal."""
    with _database().units() as db:
        db.info[ORIGIN] = origin or Origin()
        yield db
        refuse_if_given_up()
        if _REHEARSAL in db.info:
            db.rollback()
        else:
            db.commit()


def rehearse(db: Session) -> None:
    """Have the unit of work undone at its end, however well it goes."""
    db.info[_REHEARSAL] = True


def origin_of(db: Session) -> Origin:
    origin: Origin = db.info[ORIGIN]
    return origin


@contextmanager
def read_only() -> Iterator[Session]:
    with _database().reads() as db:
        yield db


@contextmanager
def exporting() -> Iterator[Session]:
    """Read at length, row by row. What is broken off is ended with its connection."""
    with _database().exports() as db:
        try:
            yield db
        except BaseException:
            db.invalidate()
            raise


def dispose() -> None:
    """Close every connection and forget the engine; the next use reads the settings anew."""
    with _building:
        if _build.cache_info().currsize:
            for engine in (_build().engine, _build().exporting):
                engine.dispose()
        _build.cache_clear()


@event.listens_for(UnitOfWork, "before_commit")
def _refuse_commit(db: Session) -> None:
    if _REHEARSAL in db.info and not db.in_nested_transaction():
        raise RuntimeError("A rehearsal must not be committed.")


def _connect_args(settings: Settings) -> dict[str, Any]:
    if settings.is_sqlite:
        return {"timeout": settings.DB_POOL_TIMEOUT_SECONDS, "check_same_thread": False}
    return {
        "connect_timeout": settings.DB_CONNECT_TIMEOUT_SECONDS,
        "keepalives_idle": 30,
        "client_encoding": "UTF8",
        "application_name": "backdesk",
    }


def _server_settings(seconds: float) -> dict[str, str]:
    milliseconds = math.ceil(seconds * 1000)
    return {
        "timezone": "UTC",
        "statement_timeout": str(milliseconds),
        "lock_timeout": str(milliseconds // 2),
        "idle_in_transaction_session_timeout": str(milliseconds * 2),
    }


def _set_up(values: Mapping[str, str], driver: Any, record: ConnectionPoolEntry) -> None:
    """Set them once, or in each transaction where a pooler (PgBouncer, say) lends another server's
    connection for each. It is told by the process that answers: not the one that greeted us.
    """
    calls = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in values.items())
    driver.autocommit = True
    with driver.cursor() as cursor:
        cursor.execute(f"SELECT {calls} WHERE pg_backend_pid() = {driver.info.backend_pid}")
        if cursor.rowcount == 0:
            local = (f"SET LOCAL {name} = '{value}'; " for name, value in values.items())
            record.info[LOCAL_SETTINGS] = "".join(local)
    driver.autocommit = False


def _open_transaction(connection: Connection) -> None:
    """What comes first may be a cursor or a COPY, which nothing can stand before."""
    driver: Any = connection.connection.dbapi_connection
    if not driver.autocommit and (local := connection.info.get(LOCAL_SETTINGS)):
        with driver.cursor() as cursor:
            cursor.execute(local)


def _leave_useless(context: ExceptionContext) -> None:
    """Connect anew where that helps."""
    if getattr(context.original_exception, "pgcode", None) in USELESS:
        context.is_disconnect = True


def _note_return(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["returned_at"] = time.monotonic()


def _ping_if_idle(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Notice a restarted database, without a ping for every request."""
    returned_at = record.info.get("returned_at")
    if returned_at is None or time.monotonic() - returned_at < IDLE_SECONDS_BEFORE_PING:
        return
    dialect = _build().engine.dialect
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise DisconnectionError from error
