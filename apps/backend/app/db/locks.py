from sqlalchemy import func, select
from sqlalchemy.orm import Session


def take_turns(db: Session, *, lock: int) -> None:
    """Let one transaction at a time pass this point, until it ends.

    On SQLite a unit of work holds the only write lock already.
    """
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(lock)))
