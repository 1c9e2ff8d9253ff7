"""Rows by the hundred thousand, from nobody but ourselves: unchecked, and not audited."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Final

from rich.progress import Progress
from sqlalchemy import Row, insert, text
from sqlalchemy.orm import Session

from app.models import Base

BATCH: Final = 1000

Values = tuple[Any, ...]
# Takes the model, the names of the columns, and the rows.
Load = Callable[[type[Base], Sequence[str], Iterable[Values]], None]


@contextmanager
def bulk_load(
    db: Session, bar: Progress, *, models: Sequence[type[Base]], is_large: bool
) -> Iterator[Load]:
    """Give what writes rows fastest: COPY on PostgreSQL, INSERT by the batch on SQLite.

    A large load takes the indexes away that only make reading fast, and builds them anew: row by
    row they would cost more than the rows. Who reads those tables on PostgreSQL waits meanwhile.
    """
    if db.get_bind().dialect.name != "postgresql":
        yield partial(_insert, db)
        return
    db.execute(text("SET LOCAL statement_timeout = 0"))
    indexes = _take_indexes_away(db, models) if is_large else []
    yield partial(_copy, db)
    db.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
    for index in bar.track(indexes, description="Indexes") if indexes else ():
        db.execute(text(index.indexdef))


def _take_indexes_away(db: Session, models: Sequence[type[Base]]) -> Sequence[Row[Any]]:
    """Drop all but the unique ones, and return their names and definitions."""
    indexes = db.execute(
        text(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
            " AND tablename = ANY(:tables) AND indexdef NOT LIKE 'CREATE UNIQUE %'"
        ),
        {"tables": [model.__tablename__ for model in models]},
    ).all()
    for index in indexes:
        db.execute(text(f'DROP INDEX "{index.indexname}"'))
    return indexes


def _insert(db: Session, model: type[Base], columns: Sequence[str], rows: Iterable[Values]) -> None:
    for batch in _in_batches(rows):
        db.execute(insert(model.__table__), [dict(zip(columns, row, strict=True)) for row in batch])


def _copy(db: Session, model: type[Base], columns: Sequence[str], rows: Iterable[Values]) -> None:
    """Stream the rows: the next ones are made here while the server stores the last ones."""
    statement = f"COPY {model.__tablename__} ({', '.join(columns)}) FROM STDIN (FORMAT csv)"
    driver: Any = db.connection().connection
    with driver.cursor() as cursor:
        cursor.copy_expert(statement, _Lines(rows))


class _Lines:
    """The file that COPY reads."""

    def __init__(self, rows: Iterable[Values]) -> None:
        self._batches = _in_batches(rows)

    def read(self, _size: int) -> str:
        lines = io.StringIO()
        csv.writer(lines).writerows(next(self._batches, []))
        return lines.getvalue()


def _in_batches(rows: Iterable[Values]) -> Iterator[list[Values]]:
    rest = iter(rows)
    while batch := list(islice(rest, BATCH)):
        yield batch
