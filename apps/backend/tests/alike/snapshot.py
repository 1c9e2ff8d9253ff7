"""What the tables held at a moment, put back row by row: much faster than to fill them anew."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from app.models import Base

Key = tuple[Any, ...]
Row = Mapping[str, Any]
# By table and primary key: what each row that is not as it was is now; None where it is gone.
Changes = Mapping[str, Mapping[Key, Row | None]]


class Snapshot:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tables = {table.name: table for table in Base.metadata.sorted_tables}
        with engine.connect() as connection:
            self._rows = self._read(connection)

    def undo(self) -> Changes:
        """Put back what was changed since, the next ids included, and return it."""
        with self._engine.begin() as connection:
            changes = self._changes(connection)
            for name in reversed(changes):
                for key in changes[name].keys() - self._rows[name].keys():
                    table = self._tables[name]
                    connection.execute(delete(table).where(_has_key(table, key)))
            for name, rows in changes.items():
                for key in self._rows[name].keys() & rows.keys():
                    self._put_back(connection, name, key, is_there=rows[key] is not None)
            self._count_anew(connection)
        return changes

    def _read(self, connection: Connection) -> dict[str, dict[Key, Row]]:
        found: dict[str, dict[Key, Row]] = {}
        for name, table in self._tables.items():
            keys = [column.name for column in table.primary_key]
            rows = connection.execute(select(table)).mappings()
            found[name] = {tuple(row[key] for key in keys): dict(row) for row in rows}
        return found

    def _changes(self, connection: Connection) -> dict[str, dict[Key, Row | None]]:
        changes: dict[str, dict[Key, Row | None]] = {}
        for name, now in self._read(connection).items():
            before = self._rows[name]
            keys = sorted(key for key in before | now if before.get(key) != now.get(key))
            changes[name] = {key: now.get(key) for key in keys}
        return changes

    def _put_back(self, connection: Connection, name: str, key: Key, *, is_there: bool) -> None:
        table, row = self._tables[name], self._rows[name][key]
        if is_there:
            connection.execute(update(table).where(_has_key(table, key)).values(**row))
        else:
            connection.execute(insert(table).values(**row))

    def _count_anew(self, connection: Connection) -> None:
        """Have the next ids be those that would have come then."""
        numbered = [name for name, table in self._tables.items() if "id" in table.c]
        last = {name: max(self._rows[name], default=(0,))[0] for name in numbered}
        if connection.dialect.name == "sqlite":
            statement = text("UPDATE sqlite_sequence SET seq = :last WHERE name = :name")
            connection.execute(statement, [{"name": name, "last": last[name]} for name in last])
            return
        sequences = (
            func.setval(func.pg_get_serial_sequence(name, "id"), last[name] + 1, False)
            for name in last
        )
        connection.execute(select(*sequences))


def _has_key(table: Table, key: Key) -> ColumnElement[bool]:
    return and_(*(column == value for column, value in zip(table.primary_key, key, strict=True)))
