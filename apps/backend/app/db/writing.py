"""One row written by a prepared statement. Defaults of columns are left to the caller, and so is
the audit (`crud/recording.py`).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, insert, update
from sqlalchemy.orm import Session

from app.db.base import Base
from app.db.folding import with_folded
from app.db.prepared import Prepared

SHAPES: Final = 200  # Whose statements are kept.
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


def table_of(model: type[Base]) -> Table:
    return cast("Table", model.__table__)
