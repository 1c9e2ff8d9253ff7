"""How many rows there are: exact up to a bound, so that no page pays for counting a million."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Select, func, literal_column, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.db.integrity import StatementTimeoutError, domain_error
from app.db.prepared import Prepared
from app.db.statements import EXPLAINED, WITHIN_SECONDS
from app.models.mixins import in_reach


@dataclass(frozen=True, slots=True)
class Total:
    count: int
    is_estimated: bool = False


class Counting:
    """The statements that count the matching rows; in the trash where they are `deleted`.

    Where everybody asks for the `same_rows`, many more of them than the bound need not be counted
    again.
    """

    def __init__(
        self,
        matching: Select[Any],
        *,
        deleted: bool,
        bound: int,
        has_one_plan: bool = False,
        same_rows: bool = False,
    ) -> None:
        self.bound = bound
        self.has_one_plan = has_one_plan
        self.same_rows = same_rows
        self.was_beyond = False  # The last time; only of the same rows.
        self._rows = matching
        self._deleted = deleted

    @cached_property
    def matching(self) -> Prepared:
        return self._prepared(self._rows, has_one_plan=False)

    @cached_property
    def to_bound(self) -> Prepared:
        few = self._rows.limit(literal_column(str(self.bound + 1)))
        return self._prepared(_count_of(few), has_one_plan=self.has_one_plan)

    @cached_property
    def to_end(self) -> Prepared:
        return self._prepared(_count_of(self._rows), has_one_plan=False)

    def _prepared(self, statement: Select[Any], *, has_one_plan: bool) -> Prepared:
        return Prepared(in_reach(statement, deleted=self._deleted), has_one_plan=has_one_plan)


def _count_of(matching: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(matching.subquery())


def count_rows(
    db: Session, counting: Counting, values: Mapping[str, Any], *, to_end: bool = False
) -> Total:
    """Count up to the bound, or to the end; what is more, or takes too long to count, is estimated.

    Of rows that are the same for everybody nothing is counted, where there were more the last time,
    and by the estimate still are twice as many.
    """
    if to_end and (counted := _count(db, counting.to_end, values)) is not None:
        return Total(counted)
    if counting.was_beyond:
        estimate = _estimate(db, counting, values)
        if estimate is not None and estimate > 2 * counting.bound:
            return Total(estimate, is_estimated=True)
    counted = _count(db, counting.to_bound, values)
    is_beyond = counted is not None and counted > counting.bound
    counting.was_beyond = counting.same_rows and is_beyond
    if counted is not None and not is_beyond:
        return Total(counted)
    return estimate_total(db, counting, values, at_least=counted or 0)


def estimate_total(
    db: Session, counting: Counting, values: Mapping[str, Any], *, at_least: int
) -> Total:
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
    """Return None where that takes too long."""
    with give_up_in_time() as options:
        count: int = counted.scalar(db, values, **options)
        return count
    return None


@contextmanager
def give_up_in_time() -> Iterator[dict[str, Any]]:
    """Yield the options of a statement that counts, and leave the block after a tenth of a
    statement's time: the page that it is for was quick.
    """
    try:
        yield {WITHIN_SECONDS: get_settings().STATEMENT_TIMEOUT_SECONDS / 10}
    except DBAPIError as error:
        if not isinstance(domain_error(error), StatementTimeoutError):
            raise
