"""Counting that takes too long is given up, and nothing else with it."""

import pytest
from sqlalchemy import Select, func, literal, literal_column, select, text

from app.crud.counting import Counting, Total, count_rows
from app.db.session import read_only
from tests.conftest import POSTGRESQL
from tests.settings import changed_settings


def nothing_after_a_while() -> Select[int]:
    """Take a second or so: PostgreSQL sleeps, SQLite looks among three million numbers."""
    if POSTGRESQL is not None:
        return select(literal(0)).where(func.pg_sleep(1).is_(None))
    number: Select[int] = select(literal_column("1").label("n"))
    numbers = number.cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 3_000_000))
    return select(numbers.c.n).where(numbers.c.n < 0)


def counting(matching: Select[int]) -> Counting:
    return Counting(matching, deleted=False, bound=1000)


def test_count_that_takes_too_long_is_an_estimate() -> None:
    with changed_settings(STATEMENT_TIMEOUT_SECONDS="3"), read_only() as db:
        total = count_rows(db, counting(nothing_after_a_while()), {})
        next_total = count_rows(db, counting(select(literal_column("1"))), {})

    assert total.is_estimated
    assert next_total == Total(1)


@pytest.mark.postgresql
def test_time_of_a_count_is_not_that_of_the_next_statement() -> None:
    with read_only() as db:
        count_rows(db, counting(select(literal_column("1"))), {})
        timeout = db.scalar(text("SHOW statement_timeout"))

    assert timeout == "10s"
