"""Statements that run for many requests: written as all others, and compiled once.

On PostgreSQL they go straight to the driver, which costs a fifth of what a session's `execute`
does; and one that has run a few times is prepared there too, so that it is not planned anew. On
SQLite they run as any other statement.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import psycopg2  # type: ignore[import-untyped]  # Ships no types.
from sqlalchemy import BindParameter, ColumnElement, Insert, Select, Update, bindparam
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.visitors import replacement_traverse

from app.db.driver_session import DriverSession, ReadingSession, UnitOfWork
from app.db.integrity import postgresql
from app.db.statements import EXPLAINED, HELD, LOCAL_SETTINGS, take_held, with_options

RUNS_BEFORE_PREPARED: Final = 3
MOST_PREPARED: Final = 200  # On one connection.
_KNOWN: Final = "prepared"  # The key of a pooled connection's `info`: the names that it knows.
_PARAMETER: Final = re.compile(r"%\((\w+)\)s")


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
        self, db: Session, values: Mapping[str, Any], **options: Any
    ) -> tuple[list[dict[str, Any]], Any]:
        """Return apart the last column, which is the same in each row; None where there is none."""
        rows, names = self._rows(db, values, **options), self.names[:-1]
        records = [dict(zip(names, row, strict=False)) for row in rows]
        return records, rows[0][-1] if rows else None

    def scalar(self, db: Session, values: Mapping[str, Any], **options: Any) -> Any:
        """Heed the options of `db/statements.py`."""
        rows = self._rows(db, values, **options)
        return rows[0][0] if rows else None

    def send(self, db: Session, values: Mapping[str, Any]) -> None:
        """Run what returns nothing; in a unit of work together with what comes next, or COMMIT."""
        lent = db.driver_connection() if isinstance(db, UnitOfWork) else None
        if lent is None or self._is_to_be_prepared(lent):
            self._rows(db, values)
            return
        self.runs += 1
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
                made = db.error_of(error, self._sql)
                if not (isinstance(db, ReadingSession) and made.connection_invalidated):
                    raise made from error
        # A read may run again: SQLAlchemy takes another connection, or says that there is none.
        result = db.execute(self.statement, dict(values), execution_options=options)
        return result.all() if self.names else ()

    def _run(
        self, lent: PoolProxiedConnection, values: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        self.runs += 1
        driver: Any = lent.dbapi_connection
        name = None
        if EXPLAINED not in options and self._is_to_be_prepared(lent):
            name = f"backdesk_{self._key}_{secrets.token_hex(4)}"  # It has never heard that one.
            numbered, arguments = self._prepared
            text = f"PREPARE {name} AS {numbered}; EXECUTE {name}{arguments}"
        else:
            text = self._sql if EXPLAINED in options else self._text(lent)
        with driver.cursor() as cursor:
            text = take_held(cursor, lent.info) + with_options(text, options)
            cursor.execute(text, self._parameters_of(values))
            if name is not None:  # Now it is known there; had anything failed, it might not be.
                lent.info[_KNOWN][self._key] = name
            return cursor.fetchall() if self.names else ()

    def _parameters_of(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        parameters = {**self._constants, **values}
        for name, write in self._writers:
            parameters[name] = write(parameters[name])
        return parameters

    def _text(self, lent: PoolProxiedConnection) -> str:
        """Say it by name where the connection knows it."""
        name = lent.info.get(_KNOWN, {}).get(self._key)
        return self._sql if name is None else f"EXECUTE {name}{self._prepared[1]}"

    def _is_to_be_prepared(self, lent: PoolProxiedConnection) -> bool:
        if not self.has_one_plan or self.runs < RUNS_BEFORE_PREPARED:
            return False
        if LOCAL_SETTINGS in lent.info:  # The next transaction may be on another connection.
            return False
        known: dict[str, str] = lent.info.setdefault(_KNOWN, {})
        return self._key not in known and len(known) < MOST_PREPARED

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
    def _key(self) -> str:
        return hashlib.sha256(self._sql.encode()).hexdigest()[:16]

    @cached_property
    def _prepared(self) -> tuple[str, str]:
        """Return the text with numbered parameters, and the arguments that stand for them."""
        names = list(dict.fromkeys(_PARAMETER.findall(self._sql)))
        text = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", self._sql)
        arguments = ", ".join(f"%({name})s" for name in names)
        return text, f"({arguments})" if arguments else ""


def with_values(condition: ColumnElement[bool], values: Mapping[str, Any]) -> ColumnElement[bool]:
    """Return the condition with the values in it, so that it fits into any statement that is not
    prepared.
    """

    def replace(element: Any, **_: Any) -> BindParameter[Any] | None:
        if not isinstance(element, BindParameter) or element.key not in values:
            return None
        return bindparam(None, values[element.key], type_=element.type, unique=True)

    bound: ColumnElement[bool] = replacement_traverse(condition, {}, replace)
    return bound
