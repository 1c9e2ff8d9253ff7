"""How many rows there are: exact up to a bound, so that no page pays for counting a million."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, literal_column, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.db.integrity import StatementTimeoutError, domain_error
from app.db.prepared import Prepared
from app.db.statements import EXPLAINED, WITHIN_SECONDS
from app.models.mixins import with_deleted, without_deleted


@dataclass(frozen=True, slots=True)
class Total:
    count: int
    is_estimated: bool = False


class Counting:
    """The statements that count the matching rows; in the trash where they are `deleted`."""

    def __init__(
        self, matching: Select[Any], *, deleted: bool, bound: int, has_one_plan: bool
    ) -> None:
        in_reach = with_deleted if deleted else without_deleted
        to_bound = matching.limit(literal_column(str(bound + 1)))
        self.bound = bound
        self.matching = Prepared(in_reach(matching))
        self.to_bound = Prepared(in_reach(_count_of(to_bound)), has_one_plan=has_one_plan)
        self.to_end = Prepared(in_reach(_count_of(matching)))
        self.was_beyond = False  # The last time, whoever asked.


def _count_of(matching: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(matching.subquery())


def count_rows(db: Session, counting: Counting, values: Mapping[str, Any]) -> Total:
    """Count up to the bound; what is more, or takes too long to count, is estimated.

    Where there were more the last time, and by the estimate still are twice as many, nothing is
    counted.
    """
    if counting.was_beyond:
        estimate = _estimate(db, counting, values)
        if estimate is not None and estimate > 2 * counting.bound:
            return Total(estimate, is_estimated=True)
    counted = _count(db, counting.to_bound, values)
    counting.was_beyond = counted is None or counted > counting.bound
    if counted is not None and counted <= counting.bound:
        return Total(counted)
    return _beyond(db, counting, values, at_least=counted or 0)


def _beyond(db: Session, counting: Counting, values: Mapping[str, Any], *, at_least: int) -> Total:
    """SQLite counts what is in its own process to the end, if it can in time."""
    estimate = _estimate(db, counting, values)
    if estimate is not None:
        return Total(max(estimate, at_least), is_estimated=True)
    counted = _count(db, counting.to_end, values)
    return Total(at_least, is_estimated=True) if counted is None else Total(counted)


def _estimate(db: Session, counting: Counting, values: Mapping[str, Any]) -> int | None:
    """PostgreSQL's planner has one, SQLite has none."""
    if db.bind is None or db.bind.dialect.name != "postgresql":
        return None
    plan = counting.matching.scalar(db, values, **{EXPLAINED: True})
    rows: int = plan[0]["Plan"]["Plan Rows"]
    return rows


def _count(db: Session, counted: Prepared, values: Mapping[str, Any]) -> int | None:
    """Return None after a tenth of a statement's time: the page that it is for was quick."""
    seconds = get_settings().STATEMENT_TIMEOUT_SECONDS / 10
    try:
        count: int = counted.scalar(db, values, **{WITHIN_SECONDS: seconds})
    except DBAPIError as error:
        if isinstance(domain_error(error), StatementTimeoutError):
            return None
        raise
    return count
