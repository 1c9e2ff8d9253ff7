"""How many rows there are: exact up to a bound, so that no page pays for counting a million."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.db.integrity import StatementTimeoutError, domain_error
from app.db.statements import EXPLAINED, WITHIN_SECONDS


@dataclass(frozen=True, slots=True)
class Total:
    count: int
    is_estimated: bool = False


def count_rows(db: Session, matching: Select[Any]) -> Total:
    """Count up to MAX_EXACT_TOTAL; what is more, or takes too long to count, is estimated."""
    bound = get_settings().MAX_EXACT_TOTAL
    counted = _count(db, matching.limit(bound + 1))
    if counted is not None and counted <= bound:
        return Total(counted)
    return _beyond(db, matching, at_least=counted or 0)


def _beyond(db: Session, matching: Select[Any], *, at_least: int) -> Total:
    """PostgreSQL's planner has an estimate. SQLite has none, and counts what is in its own process
    to the end, if it can in time.
    """
    if db.get_bind().dialect.name == "postgresql":
        plan = db.scalar(matching, execution_options={EXPLAINED: True})
        return Total(max(plan[0]["Plan"]["Plan Rows"], at_least), is_estimated=True)
    counted = _count(db, matching)
    return Total(at_least, is_estimated=True) if counted is None else Total(counted)


def _count(db: Session, matching: Select[Any]) -> int | None:
    """Return None after a tenth of a statement's time: the page that it is for was quick."""
    seconds = get_settings().STATEMENT_TIMEOUT_SECONDS / 10
    counting = select(func.count()).select_from(matching.subquery())
    options = {**matching.get_execution_options(), WITHIN_SECONDS: seconds}
    try:
        return db.scalar(counting, execution_options=options)
    except DBAPIError as error:
        if isinstance(domain_error(error), StatementTimeoutError):
            return None
        raise
