"""The days, weeks and months in which a series over time is counted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final

from sqlalchemy import ColumnElement, Integer, case, func, literal, literal_column
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.clock import midnight, time_zone, utc_now
from app.core.errors import InvalidInputError
from app.db.base import UtcDateTime
from app.schemas.statistics import Interval

MAX_BUCKETS: Final = 400  # More than a year of days.
DEFAULT_BUCKETS: Final = {Interval.DAY: 30, Interval.WEEK: 12, Interval.MONTH: 12}


class UnknownTimeZoneError(InvalidInputError):
    code = "UNKNOWN_TIME_ZONE"
    text = "There is no such time zone; they are named as Europe/Berlin or UTC."
    field = "tz"


class RangeReversedError(InvalidInputError):
    code = "RANGE_REVERSED"
    text = "Must not be later than `until`, which is today where it is not given."
    field = "since"


class RangeTooLongError(InvalidInputError):
    code = "RANGE_TOO_LONG"
    text = "This is more than {most} intervals. Choose a later start or a longer interval."
    field = "since"


@dataclass(frozen=True, slots=True)
class Buckets:
    """They follow on one another; the last one ends at `end`."""

    days: tuple[date, ...]
    starts: tuple[datetime, ...]
    end: datetime


def buckets_between(
    *, interval: Interval, tz: str, since: date | None, until: date | None
) -> Buckets:
    """Return the whole buckets that hold the days from `since` to `until`, both included.

    Raises UnknownTimeZoneError, RangeReversedError, RangeTooLongError.
    """
    zone = time_zone(tz)
    if zone is None:
        raise UnknownTimeZoneError
    last = until or utc_now().astimezone(zone).date()
    first = since or _default_since(last, interval)
    if first > last:
        raise RangeReversedError
    days = list(islice(_days(_first_day(first, interval), last, interval), MAX_BUCKETS + 1))
    if len(days) > MAX_BUCKETS:
        raise RangeTooLongError(most=MAX_BUCKETS)
    # A day that a place left out, moving over the date line, starts with the one after it.
    by_start = {midnight(day, zone): day for day in days}
    return Buckets(
        days=tuple(by_start.values()),
        starts=tuple(by_start),
        end=midnight(_next(days[-1], interval), zone),
    )


def number_of_bucket(
    db: Session, at: InstrumentedAttribute[datetime], starts: Sequence[datetime]
) -> ColumnElement[int]:
    """Number the bucket that a moment falls in; the first is 1.

    PostgreSQL has a function for it. SQLite gets comparisons, of which nine find one of 400. The
    bounds are ours: the database's own time zones may be those of another year.
    """
    if db.get_bind().dialect.name == "postgresql":
        return func.width_bucket(at, literal(starts, ARRAY(UtcDateTime)), type_=Integer)
    return _search(at, starts, first=1, last=len(starts))


def _search(
    at: InstrumentedAttribute[datetime], starts: Sequence[datetime], *, first: int, last: int
) -> ColumnElement[int]:
    if first == last:
        return literal_column(str(first), Integer)
    middle = (first + last) // 2
    return case(
        (at < starts[middle], _search(at, starts, first=first, last=middle)),
        else_=_search(at, starts, first=middle + 1, last=last),
    )


def _days(first: date, last: date, interval: Interval) -> Iterator[date]:
    while first <= last:
        yield first
        first = _next(first, interval)


def _first_day(day: date, interval: Interval) -> date:
    match interval:
        case Interval.DAY:
            return day
        case Interval.WEEK:
            return day - timedelta(days=day.weekday())
        case Interval.MONTH:
            return day.replace(day=1)


def _next(first_day: date, interval: Interval) -> date:
    match interval:
        case Interval.DAY:
            return first_day + timedelta(days=1)
        case Interval.WEEK:
            return first_day + timedelta(weeks=1)
        case Interval.MONTH:
            return (first_day + timedelta(days=31)).replace(day=1)


def _default_since(last: date, interval: Interval) -> date:
    first = _first_day(last, interval)
    for _ in range(DEFAULT_BUCKETS[interval] - 1):
        first = _first_day(first - timedelta(days=1), interval)
    return first
