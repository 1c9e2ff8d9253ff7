"""Rows written: one by a prepared statement, many in one statement, under ids drawn before.

Defaults of columns are left to the caller, and so is the audit (`crud/records.py`, `crud/bulk.py`).
PostgreSQL takes many rows as one JSON text, which is several times faster than a list of values:
neither the driver nor the parser of SQL looks at each of them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from pydantic_core import to_json
from sqlalchemy import (
    ColumnClause,
    Table,
    Text,
    bindparam,
    column,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from app.db.base import Base
from app.db.folding import with_folded
from app.db.prepared import Prepared

SHAPES: Final = 200  # Whose statements are kept.
MANY: Final = 50  # Fewer rows are no slower as a list of values.
_ID: Final = "row_id"  # Parameters that no column is called by.
_VERSION: Final = "row_version"


def insert_row(
    db: Session, *, model: type[Base], values: Mapping[str, Any], returned: Sequence[str]
) -> dict[str, Any]:
    """Return those columns of the new row. Raises IntegrityError."""
    values = with_folded(model, values)
    (row,) = _insertion(model, tuple(values), tuple(returned)).all(db, values)
    return row


def append_row(db: Session, *, model: type[Base], values: Mapping[str, Any]) -> None:
    """Insert a row that nobody asks back; what is wrong with it may come out with the commit."""
    _insertion(model, tuple(values), ()).send(db, values)


def update_row(
    db: Session,
    *,
    model: type[Base],
    row_id: int,
    version: int,
    changes: Mapping[str, Any],
    returned: Sequence[str],
) -> dict[str, Any] | None:
    """Return those columns after the change; None where the row has another version by now. Raises
    IntegrityError.
    """
    changes = with_folded(model, changes)
    statement = _change(model, tuple(changes), tuple(returned))
    return statement.first(db, {**changes, _ID: row_id, _VERSION: version})


@lru_cache(maxsize=SHAPES)
def _insertion(model: type[Base], names: Sequence[str], returned: Sequence[str]) -> Prepared:
    table = table_of(model)
    statement = insert(table).values({name: bindparam(name) for name in names})
    if not returned:
        return Prepared(statement.inline())  # Else SQLAlchemy would ask for the id.
    return Prepared(statement.returning(*(table.c[name] for name in returned)))


@lru_cache(maxsize=SHAPES)
def _change(model: type[Base], names: Sequence[str], returned: Sequence[str]) -> Prepared:
    table = table_of(model)
    statement = (
        update(table)
        .where(table.c.id == bindparam(_ID), table.c.version == bindparam(_VERSION))
        .values({name: bindparam(name) for name in names})
    )
    return Prepared(statement.returning(*(table.c[name] for name in returned)))


def draw_ids(db: Session, *, model: type[Base], count: int) -> Sequence[int]:
    """Return as many ids as rows are to be inserted, in ascending order."""
    if db.get_bind().dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(model.__tablename__, "id")
        drawn = select(func.nextval(sequence)).select_from(func.generate_series(1, count))
        return db.scalars(drawn).all()
    first = _last_id(db, table_of(model)) + 1  # Nobody else writes while this unit of work does.
    return range(first, first + count)


def _last_id(db: Session, table: Table) -> int:
    """Also one whose row is gone: an id is never given twice."""
    last: int | None = db.scalar(select(func.max(table.c.id)))
    if table.dialect_options["sqlite"]["autoincrement"]:
        given = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        last = max(last or 0, db.scalar(given, {"name": table.name}) or 0)
    return last or 0


def load_rows(db: Session, *, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows, all with the same keys. Raises IntegrityError."""
    if not rows:
        return
    table = table_of(model)
    rows = [with_folded(model, row) for row in rows]
    if len(rows) < MANY or db.get_bind().dialect.name != "postgresql":
        db.execute(insert(table), rows)
        return
    names = list(rows[0])
    of_table: ColumnClause[Any] = literal_column(f'NULL::"{table.name}"')
    given = func.json_populate_recordset(of_table, bindparam("rows", type_=Text))
    source = given.table_valued(*(column(name, table.c[name].type) for name in names))
    statement = insert(table).from_select(names, select(*source.c))
    db.execute(statement, {"rows": to_json(rows).decode()})


def table_of(model: type[Base]) -> Table:
    return cast("Table", model.__table__)
