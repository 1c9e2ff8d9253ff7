"""Statements that run for many requests: written as all others, and compiled once.

On PostgreSQL they go straight to the driver, which costs a fifth of what a session's `execute`
does; and one that has run a few times is prepared there too, so that it is not planned anew. On
SQLite they run as any other statement.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import psycopg2  # type: ignore[import-untyped]  # Ships no types.
import structlog
from sqlalchemy import Insert, Select, Update
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from app.db.driver_session import DriverSession, ReadingSession, UnitOfWork
from app.db.integrity import FORGOTTEN, is_lost, postgresql
from app.db.statements import EXPLAINED, HELD, take_held, with_options

RUNS_BEFORE_PREPARED: Final = 3
MOST_PREPARED: Final = 200  # On one connection.
_KNOWN: Final = "prepared"  # The key of a pooled connection's `info`: the names that it knows.
_PARAMETER: Final = re.compile(r"%\((\w+)\)s")

log = structlog.get_logger("backdesk.prepared")


class Prepared:
    """A statement with named parameters. A select passes deleted rows by itself
    (`without_deleted`); what waits in the session to be flushed is not seen.

    With `has_one_plan` no value makes another plan the better one.
    """

    def __init__(
        self, statement: Select[Any] | Insert | Update, *, has_one_plan: bool = True
    ) -> None:
        self.statement = statement
        self.names = tuple(map(str, statement.exported_columns.keys()))
        self.has_one_plan = has_one_plan
        self.runs = 0

    def first(self, db: Session, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """For what is one row or none."""
        rows = self._rows(db, values)
        return dict(zip(self.names, rows[0], strict=True)) if rows else None

    def all(self, db: Session, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        names = self.names
        return [dict(zip(names, row, strict=True)) for row in self._rows(db, values)]

    def all_and_last(
        self, db: Session, values: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], Any]:
        """Return apart the last column, which is the same in each row; None where there is none."""
        rows, names = self._rows(db, values), self.names[:-1]
        records = [dict(zip(names, row, strict=False)) for row in rows]
        return records, rows[0][-1] if rows else None

    def scalar(self, db: Session, values: Mapping[str, Any], **options: Any) -> Any:
        """Heed the options of `db/statements.py`."""
        rows = self._rows(db, values, **options)
        return rows[0][0] if rows else None

    def send(self, db: Session, values: Mapping[str, Any]) -> None:
        """Run what returns nothing; in a unit of work together with what comes next, or COMMIT."""
        lent = db.driver_connection() if isinstance(db, UnitOfWork) else None
        if lent is None:
            self._rows(db, values)
            return
        driver: Any = lent.dbapi_connection
        with driver.cursor() as cursor:
            sent: bytes = cursor.mogrify(self._text(lent), self._parameters_of(values))
        lent.info[HELD] = f"{lent.info.get(HELD, '')}{sent.decode()}; "

    def _rows(
        self, db: Session, values: Mapping[str, Any], **options: Any
    ) -> Sequence[Sequence[Any]]:
        if isinstance(db, DriverSession) and (lent := db.driver_connection()) is not None:
            try:
                return self._run(lent, values, options)
            except psycopg2.Error as error:
                if not self._may_run_again(db, lent, error):
                    raise db.error_of(error, self._sql) from error
        result = db.execute(self.statement, dict(values), execution_options=options)
        return result.all() if self.names else ()

    def _run(
        self, lent: PoolProxiedConnection, values: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        driver: Any = lent.dbapi_connection
        with driver.cursor() as cursor:
            text = self._sql if options.get(EXPLAINED) else self._text(lent)
            text = take_held(cursor, lent.info) + with_options(text, options)
            cursor.execute(text, self._parameters_of(values))
            return cursor.fetchall() if self.names else ()

    def _may_run_again(
        self, db: Session, lent: PoolProxiedConnection, error: psycopg2.Error
    ) -> bool:
        """Tell whether SQLAlchemy is to run it: it knows what to do about a lost connection."""
        if is_forgotten := error.pgcode in FORGOTTEN:
            lent.info[_KNOWN] = None
            log.warning("prepared statements are not kept here", sqlstate=error.pgcode)
        is_useless = is_forgotten or is_lost(error, lent.dbapi_connection)
        return isinstance(db, ReadingSession) and is_useless

    def _parameters_of(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        parameters = {**self._constants, **values}
        for name, write in self._writers:
            parameters[name] = write(parameters[name])
        return parameters

    def _text(self, lent: PoolProxiedConnection) -> str:
        """Say it by name where the connection knows it, or is to know it from now on."""
        self.runs += 1
        known: set[str] | None = lent.info.setdefault(_KNOWN, set())
        if not self.has_one_plan or self.runs <= RUNS_BEFORE_PREPARED or known is None:
            return self._sql
        if self._name in known:
            return self._execution
        if len(known) >= MOST_PREPARED:
            return self._sql
        known.add(self._name)
        return f"{self._preparation}; {self._execution}"

    @cached_property
    def _compiled(self) -> Any:
        return self.statement.compile(dialect=postgresql)

    @cached_property
    def _sql(self) -> str:
        return str(self._compiled)

    @cached_property
    def _constants(self) -> Mapping[str, Any]:
        return {name: value for name, value in self._compiled.params.items() if value is not None}

    @cached_property
    def _writers(self) -> Sequence[tuple[str, Callable[[Any], Any]]]:
        """Of the parameters that the driver cannot write by itself, such as JSON."""
        types = {
            name: one.type.dialect_impl(postgresql) for name, one in self._compiled.binds.items()
        }
        writers = ((name, one.bind_processor(postgresql)) for name, one in types.items())
        return [(name, write) for name, write in writers if write is not None]

    @cached_property
    def _name(self) -> str:
        return f"backdesk_{hashlib.sha256(self._sql.encode()).hexdigest()[:16]}"

    @cached_property
    def _parameters(self) -> Sequence[str]:
        return list(dict.fromkeys(_PARAMETER.findall(self._sql)))

    @cached_property
    def _preparation(self) -> str:
        numbers = {name: f"${number}" for number, name in enumerate(self._parameters, 1)}
        numbered = _PARAMETER.sub(lambda found: numbers[found[1]], self._sql)
        return f"PREPARE {self._name} AS {numbered}"

    @cached_property
    def _execution(self) -> str:
        places = ", ".join(f"%({name})s" for name in self._parameters)
        return f"EXECUTE {self._name}({places})" if places else f"EXECUTE {self._name}"
