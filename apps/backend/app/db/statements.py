"""What one statement may be told by an execution option."""

from collections.abc import Mapping
from typing import Any, Final

from psycopg2.extensions import (  # type: ignore[import-untyped]  # Ships no types.
    TRANSACTION_STATUS_IDLE,
)
from sqlalchemy import Connection

# Its own time, shorter than STATEMENT_TIMEOUT_SECONDS. On either database.
WITHIN_SECONDS: Final = "within_seconds"
# PostgreSQL answers with its plan (as JSON) instead of running it.
EXPLAINED: Final = "explained"


# The key of a pooled connection's `info`: statements that return nothing, and so go together with
# the next one, in the same round trip.
HELD: Final = "held"
BEGIN: Final = "BEGIN; "
# Likewise: what each transaction begins with, on a connection that a pooler lends by transaction.
LOCAL_SETTINGS: Final = "local_settings"


def put_before(
    connection: Connection,
    cursor: Any,
    statement: str,
    parameters: Any,
    context: Any,
    is_many: bool,
) -> tuple[str, Any]:
    """Heed the options on PostgreSQL; SQLite's clock is in `db/sqlite.py`."""
    statement = with_options(statement, context.execution_options)
    held = take_held(cursor, connection.info)
    if is_many and held:
        cursor.execute(held)
        held = ""
    return f"{held}{statement}", parameters


def take_held(cursor: Any, info: dict[Any, Any]) -> str:
    """Return what is to stand before the next statement. What the driver would take for parameters
    is sent at once.
    """
    held = pop_held(cursor.connection, info)
    if "%" not in held:
        return held
    cursor.execute(held)
    return ""


def pop_held(driver: Any, info: dict[Any, Any]) -> str:
    held: str = info.pop(HELD, "")
    local: str | None = info.get(LOCAL_SETTINGS)
    if local is None or driver.get_transaction_status() != TRANSACTION_STATUS_IDLE:
        return held
    return f"{BEGIN}{local}{held.removeprefix(BEGIN)}" if held else local


def with_options(statement: str, options: Mapping[str, Any]) -> str:
    """Say it in the same round trip. The driver sends both statements as one, and the setting ends
    with the transaction, which outside a unit of work is just this.
    """
    if options.get(EXPLAINED):
        statement = f"EXPLAIN (FORMAT JSON) {statement}"
    if (seconds := options.get(WITHIN_SECONDS)) is not None:
        statement = f"SET LOCAL statement_timeout = {int(seconds * 1000)}; {statement}"
    return statement
