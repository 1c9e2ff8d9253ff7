"""Rows by the thousand, deleted a batch at a time: no long transaction, no long lock."""

from typing import Final

from sqlalchemy import Select, delete
from sqlalchemy.orm import Session

from app.models.mixins import IdMixin

BATCH: Final = 1000


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
