"""A session that only reads, as cheaply as it can."""

from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.pool import PoolProxiedConnection


class ReadingSession(Session):
    """Each of its statements is a transaction of its own, so it must not write.

    Prepared statements (`db/prepared.py`) take the driver's connection as it comes from the pool;
    whatever else is read goes through SQLAlchemy, over the same connection.
    """

    _borrowed: PoolProxiedConnection | None = None
    _connection: Connection | None = None

    def driver_connection(self) -> PoolProxiedConnection:
        if self._borrowed is None:
            if self.in_transaction():
                return self.connection().connection
            engine: Any = self.bind
            borrowed: PoolProxiedConnection = engine.raw_connection()
            driver: Any = borrowed.dbapi_connection
            driver.autocommit = True
            self._borrowed = borrowed
        return self._borrowed

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        if self._borrowed is None:
            return super().get_bind(*arguments, **options)
        if self._connection is None:
            engine: Any = self.bind
            self._connection = Connection(engine, connection=self._borrowed)
        return self._connection

    def close(self) -> None:
        super().close()
        if self._connection is not None:
            self._connection.close()
        elif self._borrowed is not None:
            self._borrowed.close()
        self._connection = self._borrowed = None


@event.listens_for(ReadingSession, "before_flush")
def _refuse_flush(*_: object) -> NoReturn:
    raise RuntimeError("A session for reading has changes to write. Use unit_of_work().")


@event.listens_for(ReadingSession, "do_orm_execute")
def _refuse_change(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        _refuse_flush()
