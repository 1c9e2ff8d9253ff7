"""What each database has its own words for."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def is_postgresql(db: Session) -> bool:
    return db.get_bind().dialect.name == "postgresql"


def take_turns(db: Session, *, lock: int) -> None:
    """Let one transaction at a time pass this point, until it ends.

    On SQLite a unit of work holds the only write lock already.
    """
    if is_postgresql(db):
        db.execute(select(func.pg_advisory_xact_lock(lock)))


def upsert(db: Session, model: type[Any]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT, which both databases write alike."""
    return postgresql.insert(model) if is_postgresql(db) else sqlite.insert(model)
