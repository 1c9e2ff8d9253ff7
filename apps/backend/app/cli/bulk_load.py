"""Rows by the hundred thousand, from nobody but ourselves: unchecked, and not audited."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import Any, Final

from rich.progress import Progress
from sqlalchemy import Row, insert, text
from sqlalchemy.orm import Session

from app.db.dialect import is_postgresql
from app.db.folding import with_folded
from app.models import Base

BATCH: Final = 1000

Values = Mapping[str, Any]
Load = Callable[[type[Base], Iterable[Values]], None]


@contextmanager
def bulk_load(
    db: Session, bar: Progress, *, models: Sequence[type[Base]], is_large: bool
) -> Iterator[Load]:
    """Give what writes rows fastest: COPY on PostgreSQL, INSERT by the batch on SQLite.

    A large load puts off on PostgreSQL what would cost more than the rows, row by row: the indexes
    that only make reading fast, and the look at foreign keys. Who reads those tables meanwhile
    waits.
    """
    if not is_postgresql(db):
        yield partial(_insert, db)
        return
    db.execute(text("SET LOCAL statement_timeout = 0"))
    put_off = _put_off(db, models) if is_large else []
    yield partial(_copy, db)
    db.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
    for part in bar.track(put_off, description="Indexes") if put_off else ():
        db.execute(text(part.definition))


_INDEXES_AND_FOREIGN_KEYS: Final = text("""
    SELECT format('DROP INDEX %I', indexname) AS removal, indexdef AS definition
    FROM pg_indexes
    WHERE schemaname = current_schema() AND tablename = ANY(:tables)
        AND indexdef NOT LIKE 'CREATE UNIQUE %'
    UNION ALL
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
        format('ALTER TABLE %s ADD CONSTRAINT %I %s',
            conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint
    WHERE contype = 'f' AND conrelid = ANY(CAST(CAST(:tables AS text[]) AS regclass[]))
""")


def _put_off(db: Session, models: Sequence[type[Base]]) -> Sequence[Row[Any]]:
    """Take them away, and return how each is made again."""
    tables = [model.__tablename__ for model in models]
    parts = db.execute(_INDEXES_AND_FOREIGN_KEYS, {"tables": tables}).all()
    for part in parts:
        db.execute(text(part.removal))
    return parts


def _insert(db: Session, model: type[Base], rows: Iterable[Values]) -> None:
    table: Any = model.__table__  # Past the ORM, which takes as long again.
    for batch in _in_batches(rows):
        db.execute(insert(table), batch)


def _copy(db: Session, model: type[Base], rows: Iterable[Values]) -> None:
    """Stream the rows: the next ones are made here while the server stores the last ones."""
    whole = (with_folded(model, row) for row in rows)
    if (first := next(whole, None)) is None:
        return
    statement = f"COPY {model.__tablename__} ({', '.join(first)}) FROM STDIN (FORMAT csv)"
    driver: Any = db.connection().connection
    with driver.cursor() as cursor:
        cursor.copy_expert(statement, _Lines(chain([first], whole)))


class _Lines:
    """The file that COPY reads."""

    def __init__(self, rows: Iterable[Values]) -> None:
        self._batches = _in_batches(rows)

    def read(self, _size: int) -> str:
        lines = io.StringIO()
        csv.writer(lines).writerows(row.values() for row in next(self._batches, []))
        return lines.getvalue()


def _in_batches(rows: Iterable[Values]) -> Iterator[list[Values]]:
    rest = iter(rows)
    while batch := list(islice(rest, BATCH)):
        yield batch
