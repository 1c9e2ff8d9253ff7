"""Many rows into one table in one statement, under ids that were drawn before.

PostgreSQL takes them as one JSON text, which is several times faster than a list of values: neither
the driver nor the parser of SQL looks at each of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
)
from sqlalchemy.orm import Session

from app.db.base import Base
from app.db.folding import with_folded
from app.db.writing import table_of

MANY: Final = 50  # Fewer rows are no slower as a list of values.


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
