"""Rows by the thousand, a batch at a time: no long transaction, no long lock, no long statement."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from sqlalchemy import Select, delete
from sqlalchemy.orm import Session

from app.models.mixins import IdMixin

BATCH: Final = 1000
VALUES_AT_ONCE: Final = 10_000  # In one condition: SQLite takes some 32 000 in a statement.

Member = TypeVar("Member")


def in_batches(members: Sequence[Member], *, size: int = BATCH) -> Iterator[Sequence[Member]]:
    return (members[start : start + size] for start in range(0, len(members), size))


def delete_batch(db: Session, *, model: type[IdMixin], chosen: Select[int]) -> int:
    """Delete some of the rows whose ids are chosen, and return how many.

    On PostgreSQL, rows that another transaction has in hand are passed by: two at once neither wait
    for each other nor count a row twice. On SQLite, one writes at a time.
    """
    ids = db.scalars(chosen.limit(BATCH).with_for_update(skip_locked=True)).all()
    if ids:
        db.execute(
            delete(model).where(model.id.in_(ids)).execution_options(synchronize_session=False)
        )
    return len(ids)
