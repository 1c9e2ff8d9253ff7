"""What one statement may be told by an execution option."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

# Its own time, shorter than STATEMENT_TIMEOUT_SECONDS. On either database.
WITHIN_SECONDS: Final = "within_seconds"
# PostgreSQL answers with its plan (as JSON) instead of running it.
EXPLAINED: Final = "explained"


# The key of a pooled connection's `info`: the next statement opens a transaction.
BEGINS: Final = "begins"


def heed_options(engine: Engine) -> None:
    """Of PostgreSQL; SQLite's clock is in `db/sqlite.py`."""
    event.listen(engine, "before_cursor_execute", _put_before, retval=True)


def _put_before(
    connection: Connection,
    cursor: Any,
    statement: str,
    parameters: Any,
    context: Any,
    is_many: bool,
) -> tuple[str, Any]:
    statement = with_options(statement, context.execution_options)
    if is_many and connection.info.get(BEGINS):
        cursor.execute(opening("", connection.info))
    return opening(statement, connection.info), parameters


def opening(statement: str, info: dict[Any, Any]) -> str:
    """Begin the transaction in the same round trip, where it has not begun."""
    return f"BEGIN; {statement}" if info.pop(BEGINS, False) else statement


def with_options(statement: str, options: Mapping[str, Any]) -> str:
    """Say it in the same round trip. The driver sends both statements as one, and the setting ends
    with the transaction, which outside a unit of work is just this.
    """
    if options.get(EXPLAINED):
        statement = f"EXPLAIN (FORMAT JSON) {statement}"
    if (seconds := options.get(WITHIN_SECONDS)) is not None:
        statement = f"SET LOCAL statement_timeout = {int(seconds * 1000)}; {statement}"
    return statement
