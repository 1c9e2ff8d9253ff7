"""Database errors, told by name: a constraint to its refusal, a fault to its family."""

import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg2  # type: ignore[import-untyped]  # Ships no types.
from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core.errors import ConflictError, DomainError, InvalidInputError, UnavailableError
from app.db.base import Base

postgresql: Final[Any] = PGDialect_psycopg2(dbapi=psycopg2)  # type: ignore[no-untyped-call]  # So there.

_SQLITE_OUT_OF_REACH: Final = ("locked", "unable to open", "disk is full", "disk I/O error")
_SQLITE_FOREIGN_KEY: Final = "FOREIGN KEY constraint failed"
_SQLITE_COLUMNS: Final = re.compile(r"^UNIQUE constraint failed: (?P<columns>[\w., ]+)$")


class DatabaseUnavailableError(UnavailableError):
    code = "DATABASE_UNAVAILABLE"
    text = "The database cannot be reached right now. Try again in a moment."


class StatementTimeoutError(UnavailableError):
    code = "STATEMENT_TIMEOUT"
    text = "The database took too long to answer. Ask for less, or try again in a moment."


class ContendedError(UnavailableError):
    code = "CONTENDED"
    text = "Others kept changing the same records at the same time. Try again in a moment."


class SchemaNotReadyError(UnavailableError):
    code = "SCHEMA_NOT_READY"
    text = "The database's schema is not at this release's version. Run: migrate."


class LockedError(ConflictError):
    code = "LOCKED"
    text = "Somebody else is changing this right now. Try again in a moment."


class ReferenceGoneError(ConflictError):
    code = "REFERENCE_GONE"
    text = "The record that this refers to no longer exists."


class InvalidValueError(InvalidInputError):
    code = "INVALID_VALUE"
    text = "The database cannot store one of the values."


# PostgreSQL's SQLSTATE codes; https://www.postgresql.org/docs/current/errcodes-appendix.html
READ_ONLY_TRANSACTION: Final = "25006"  # What a stand-by says to a writer after a fail-over.
_UNDEFINED_TABLE: Final = "42P01"
_SERIALIZATION_FAILURE: Final = "40001"
_DEADLOCK_DETECTED: Final = "40P01"
_BY_SQLSTATE: Final[Mapping[str, type[DomainError]]] = {
    "57014": StatementTimeoutError,  # query_canceled
    "55P03": LockedError,  # lock_not_available
    "23503": ReferenceGoneError,  # foreign_key_violation
    _SERIALIZATION_FAILURE: ContendedError,
    _DEADLOCK_DETECTED: ContendedError,
}
# A prepared statement is: the server is another one, as behind a pooler, or a table has got another
# shape since.
FORGOTTEN: Final = frozenset({"26000", "42P05", "0A000"})
# Another connection does better. After a fail-over, another server writes.
USELESS: Final = FORGOTTEN | {READ_ONLY_TRANSACTION}
# Connections lost, resources gone (a full disk too), shutting down, faults of the machine.
_UNREACHABLE: Final = ("08", "53", "57P", "58", READ_ONLY_TRANSACTION)


@contextmanager
def constraint_error(errors: Mapping[str, Callable[[], DomainError]]) -> Iterator[None]:
    """Raise the refusal that belongs to the violated constraint; let any other pass."""
    try:
        yield
    except IntegrityError as error:
        refusal = errors.get(violated_constraint(error) or "")
        if refusal is None:
            raise
        raise refusal() from error


def violated_constraint(error: IntegrityError) -> str | None:
    """PostgreSQL names the constraint, SQLite only the columns of it."""
    diagnostics = getattr(error.orig, "diag", None)
    if diagnostics is not None:
        return str(diagnostics.constraint_name)
    found = _SQLITE_COLUMNS.match(str(error.orig))
    return _unique_over(found["columns"]) if found else None


def domain_error(error: DBAPIError | PoolTimeoutError) -> DomainError | None:
    """Name the family that a database fault belongs to, or None where it is our own bug."""
    if isinstance(error, PoolTimeoutError):
        return DatabaseUnavailableError()
    if is_missing_table(error):
        return SchemaNotReadyError()
    sqlstate: str | None = getattr(error.orig, "pgcode", None)
    family = _by_words(error) if sqlstate is None else _by_sqlstate(sqlstate)
    return family() if family is not None else None


def is_lost(error: psycopg2.Error, driver: Any) -> bool:
    """Tell whether the connection is of no use any more."""
    return error.pgcode in USELESS or bool(postgresql.is_disconnect(error, driver, None))


def error_of_driver(error: psycopg2.Error, statement: str, *, driver: Any) -> DBAPIError:
    """Return what SQLAlchemy would raise for it."""
    made: DBAPIError = DBAPIError.instance(
        statement,
        None,
        error,
        psycopg2.Error,
        hide_parameters=True,
        connection_invalidated=is_lost(error, driver),
        dialect=postgresql,
    )
    return made


def _by_sqlstate(sqlstate: str) -> type[DomainError] | None:
    if sqlstate.startswith(_UNREACHABLE):
        return DatabaseUnavailableError
    if sqlstate.startswith("22"):  # data_exception
        return InvalidValueError
    return _BY_SQLSTATE.get(sqlstate)


def _by_words(error: DBAPIError) -> type[DomainError] | None:
    text, is_lost = str(error.orig), type(error.orig).__name__ == "OperationalError"
    if type(error.orig).__module__ == "sqlite3":
        if text == "interrupted":  # The time of a statement is up.
            return StatementTimeoutError
        if text == _SQLITE_FOREIGN_KEY:
            return ReferenceGoneError
        is_lost &= any(words in text for words in _SQLITE_OUT_OF_REACH)
    return DatabaseUnavailableError if is_lost or error.connection_invalidated else None


def without_values(error: Exception) -> dict[str, Any]:
    """Describe an error for the log. A database's own text is left out: PostgreSQL puts rows into
    it.
    """
    if not isinstance(error, SQLAlchemyError):
        return {"exc_info": error}
    original = getattr(error, "orig", None)
    return {
        "type": type(original or error).__name__,
        "cause": cause_of(error),
        "sqlstate": getattr(original, "pgcode", None),
        "constraint": getattr(getattr(original, "diag", None), "constraint_name", None),
        "traceback": "".join(traceback.format_tb(error.__traceback__)),
    }


def cause_of(error: Exception) -> str:
    """Say why the database could not be used, in the one line that names no values; of any other
    error, only what kind it is.
    """
    if isinstance(error, DBAPIError) and (
        isinstance(error, OperationalError) or is_missing_table(error)
    ):
        return (str(error.orig).splitlines() or [""])[0]
    return type(error).__name__


def is_missing_table(error: DBAPIError) -> bool:
    is_undefined = getattr(error.orig, "pgcode", None) == _UNDEFINED_TABLE
    return is_undefined or str(error.orig).startswith("no such table")


def is_contention(error: DBAPIError) -> bool:
    """Tell whether the same unit of work may succeed when it runs again from the start."""
    sqlstate = getattr(error.orig, "pgcode", None)
    return sqlstate in {_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED} | FORGOTTEN


def _unique_over(columns: str) -> str | None:
    wanted = set(columns.split(", "))
    for table in Base.metadata.tables.values():
        uniques: list[Index | UniqueConstraint] = [i for i in table.indexes if i.unique]
        uniques += [c for c in table.constraints if isinstance(c, UniqueConstraint)]
        for unique in uniques:
            if {str(column) for column in unique.columns} == wanted:
                return str(unique.name)
    return None
