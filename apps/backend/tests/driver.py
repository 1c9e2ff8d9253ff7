"""What the driver sends to the database, whoever asks it to."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2.extensions import (  # type: ignore[import-untyped]  # Ships no types.
    STATUS_READY,
    connection,
    cursor,
)
from sqlalchemy import Engine, event

BEGIN, COMMIT, ROLLBACK = "BEGIN", "COMMIT", "ROLLBACK"
BEGIN_IMMEDIATE = "BEGIN IMMEDIATE"  # SQLite's.
SETTING_UP = "SELECT set_config("  # A new connection, before its first use: not counted.
OPENING = "BEGIN; "  # What may stand before a statement, in the same message.

_PREPARATION = re.compile(r"PREPARE (\w+) AS (.*?); (EXECUTE \1\b)", re.DOTALL)
_EXECUTION = re.compile(r"\bEXECUTE (\w+)")
_prepared: dict[str, str] = {}

Note = Callable[[str], None]


@contextmanager
def noted_round_trips(engine: Engine, note: Note, *, with_values: bool = False) -> Iterator[None]:
    """Have each message to the database noted; prepared statements are told in full.

    Of SQLite, which is in this process, the statements.
    """

    def note_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        note(statement)

    def connect(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["connection_factory"] = _noting_connection(note, with_values=with_values)

    is_sqlite = engine.dialect.name == "sqlite"
    listened = ("before_cursor_execute", note_statement) if is_sqlite else ("do_connect", connect)
    with engine.connect():
        pass  # The first of all asks for more than those after it.
    engine.dispose()  # Connections from before would note nothing.
    event.listen(engine, *listened)
    yield
    event.remove(engine, *listened)
    engine.dispose()


def _in_full(statement: str | bytes) -> str:
    text = statement if isinstance(statement, str) else statement.decode()
    _prepared.update({name: prepared for name, prepared, _ in _PREPARATION.findall(text)})
    return _EXECUTION.sub(lambda found: _prepared[found[1]], _PREPARATION.sub(r"\3", text))


def _noting_connection(note: Note, *, with_values: bool) -> type:
    class NotingCursor(cursor):  # type: ignore[misc]  # Ships no types.
        def execute(self, query: Any, variables: Any = None) -> None:
            if not self.connection.autocommit and self.connection.status == STATUS_READY:
                note(BEGIN)
            if not str(query).startswith(SETTING_UP):
                note(_in_full(self.mogrify(query, variables) if with_values else query))
            super().execute(query, variables)

        def copy_expert(self, sql: Any, file: Any, *arguments: Any) -> None:
            note(_in_full(sql))
            super().copy_expert(sql, file, *arguments)

    class NotingConnection(connection):  # type: ignore[misc]  # Ships no types.
        def cursor(self, *arguments: Any, **options: Any) -> Any:
            return super().cursor(*arguments, **{"cursor_factory": NotingCursor, **options})

        def commit(self) -> None:
            if self.status != STATUS_READY:
                note(COMMIT)
            super().commit()

        def rollback(self) -> None:
            if self.status != STATUS_READY:
                note(ROLLBACK)
            super().rollback()

    return NotingConnection
