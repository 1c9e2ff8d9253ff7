"""Database errors, told by name: a constraint to its refusal, a fault to its family."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core.errors import ConflictError, DomainError, InvalidInputError, UnavailableError
from app.db.base import Base

_SQLITE_COLUMNS: Final = re.compile(r"^UNIQUE constraint failed: (?P<columns>[\w., ]+)$")


class DatabaseUnavailableError(UnavailableError):
    code = "DATABASE_UNAVAILABLE"
    text = "The database cannot be reached right now. Try again in a moment."


class StatementTimeoutError(UnavailableError):
    code = "STATEMENT_TIMEOUT"
    text = "The database took too long to answer. Ask for less, or try again in a moment."


class LockedError(ConflictError):
    code = "LOCKED"
    text = "Somebody else is changing this right now. Try again in a moment."


class InvalidValueError(InvalidInputError):
    code = "INVALID_VALUE"
    text = "The database cannot store one of the values."


# PostgreSQL's SQLSTATE codes; https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_SQLSTATE: Final[Mapping[str, type[DomainError]]] = {
    "57014": StatementTimeoutError,  # query_canceled
    "55P03": LockedError,  # lock_not_available
    "40001": LockedError,  # serialization_failure
    "40P01": LockedError,  # deadlock_detected
}
# Connections lost, resources gone, shutting down, or a stand-by that only reads after a fail-over.
_UNREACHABLE: Final = ("08", "53", "57P", "25006")


@contextmanager
def constraint_error(errors: Mapping[str, type[DomainError]]) -> Iterator[None]:
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
    sqlstate: str | None = getattr(error.orig, "pgcode", None)
    if sqlstate is not None and sqlstate in _BY_SQLSTATE:
        return _BY_SQLSTATE[sqlstate]()
    if sqlstate is not None and sqlstate.startswith(_UNREACHABLE):
        return DatabaseUnavailableError()
    if sqlstate is None and _is_lost_connection(error):
        return DatabaseUnavailableError()
    if sqlstate is not None and sqlstate.startswith("22"):  # data_exception
        return InvalidValueError()
    return None


def is_missing_table(error: DBAPIError) -> bool:
    undefined_table = "42P01"
    is_undefined = getattr(error.orig, "pgcode", None) == undefined_table
    return is_undefined or str(error.orig).startswith("no such table")


def _is_lost_connection(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    name = type(error.orig).__name__
    text = str(error.orig)
    is_sqlite = type(error.orig).__module__ == "sqlite3"
    if is_sqlite:
        return name == "OperationalError" and ("locked" in text or "unable to open" in text)
    return name == "OperationalError"


def _unique_over(columns: str) -> str | None:
    wanted = set(columns.split(", "))
    for table in Base.metadata.tables.values():
        uniques: list[Index | UniqueConstraint] = [i for i in table.indexes if i.unique]
        uniques += [c for c in table.constraints if isinstance(c, UniqueConstraint)]
        for unique in uniques:
            if {str(column) for column in unique.columns} == wanted:
                return str(unique.name)
    return None
