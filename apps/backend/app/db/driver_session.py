"""Sessions that take the driver's connection as it comes from the pool.

On PostgreSQL, prepared statements (`db/prepared.py`) run right on it; whatever else is asked goes
through SQLAlchemy, over the same connection. The driver commits by itself: so a read is a single
round trip, and a unit of work sends its BEGIN together with its first statement.
"""

from typing import Any, NoReturn

import psycopg2  # type: ignore[import-untyped]  # Ships no types.
from psycopg2.extensions import (  # type: ignore[import-untyped]  # Likewise.
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INERROR,
)
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from app.db.integrity import FORGOTTEN, error_of_driver
from app.db.statements import BEGIN, HELD, pop_held


class DriverSession(Session):
    _first = ""  # What goes together with the first statement.
    _may_go_on = False  # Over another connection, where the first one is lost.
    _lent: PoolProxiedConnection | None = None
    _connection: Connection | None = None

    def driver_connection(self) -> PoolProxiedConnection | None:
        """Return PostgreSQL's, and None for SQLite. Raises DBAPIError, and SQLAlchemy's
        TimeoutError.
        """
        engine: Any = self.bind
        if self._lent is None and engine.dialect.name == "postgresql":
            try:
                lent: PoolProxiedConnection = engine.raw_connection()
            except psycopg2.Error as error:
                raise error_of_driver(error, "", driver=None) from error
            driver: Any = lent.dbapi_connection
            driver.autocommit = True
            lent.info[HELD] = self._first
            self._lent = lent
        return self._lent

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        lent = self.driver_connection()
        if lent is None:
            return super().get_bind(*arguments, **options)
        if self._connection is None:
            engine: Any = self.bind
            self._connection = Connection(engine, connection=lent)
        return self._connection

    def error_of(self, error: psycopg2.Error, statement: str) -> DBAPIError:
        """Return what SQLAlchemy would raise. Where the connection is lost, the pool's are too."""
        driver = self._lent and self._lent.dbapi_connection
        made = error_of_driver(error, statement, driver=driver)
        if made.connection_invalidated and self._lent is not None:
            self._lent.invalidate(error)
            if self._may_go_on:
                self._lent = self._connection = None  # Whatever runs next takes another one.
            if error.pgcode not in FORGOTTEN:
                engine: Any = self.bind
                engine.dispose()
        return made

    def close(self) -> None:
        super().close()
        if self._connection is not None:
            self._connection.close()
        elif self._lent is not None:
            self._lent.close()
        self._connection = self._lent = None


class ReadingSession(DriverSession):
    """Each of its statements is a transaction of its own, so it must not write."""

    _may_go_on = True


class UnitOfWork(DriverSession):
    """One transaction. What is written in it may be audited (`crud/audit.py`)."""

    _first = BEGIN

    def commit(self) -> None:
        try:
            super().commit()
        except Exception:
            super().rollback()  # SQLite leaves open what it could not commit.
            raise
        self._end("COMMIT")

    def rollback(self) -> None:
        super().rollback()
        self._end("ROLLBACK")

    def _end(self, statement: str) -> None:
        """Raises DBAPIError."""
        if self._lent is None:
            return
        driver: Any = self._lent.dbapi_connection
        if statement == "COMMIT" and (
            driver is None or driver.get_transaction_status() == TRANSACTION_STATUS_INERROR
        ):
            raise RuntimeError("A transaction that has failed cannot be committed.")
        if driver is None:
            return
        info = self._lent.info
        is_held = statement == "COMMIT" and info.get(HELD, BEGIN) not in {"", BEGIN}
        try:
            if is_held or _is_in_transaction(driver):
                held = pop_held(driver, info) if is_held else ""
                with driver.cursor() as cursor:
                    cursor.execute(f"{held}{statement}")
        except psycopg2.Error as error:
            raise self.error_of(error, statement) from error
        info[HELD] = BEGIN


class ExportingSession(Session):
    """Reads at length, row by row, in one transaction."""


def end_open_transaction(driver: Any, record: ConnectionPoolEntry, _state: object) -> None:
    """Whatever comes back to the pool in the middle of a unit of work has failed."""
    if driver.closed or not driver.autocommit:
        return
    if _is_in_transaction(driver):
        with driver.cursor() as cursor:
            cursor.execute("ROLLBACK")
    record.info.pop(HELD, None)
    driver.autocommit = False


def _is_in_transaction(driver: Any) -> bool:
    return not driver.closed and driver.get_transaction_status() != TRANSACTION_STATUS_IDLE


@event.listens_for(ReadingSession, "before_flush")
@event.listens_for(ExportingSession, "before_flush")
def _refuse_flush(*_: object) -> NoReturn:
    raise RuntimeError("A session for reading has changes to write. Use unit_of_work().")


@event.listens_for(ReadingSession, "do_orm_execute")
@event.listens_for(ExportingSession, "do_orm_execute")
def _refuse_change(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        _refuse_flush()
