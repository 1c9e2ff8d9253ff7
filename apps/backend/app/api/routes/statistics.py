import re
from datetime import date
from typing import Annotated, Any

from fastapi import Query
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.api.deps import AnswerCache, CurrentUser, DbSession, requires
from app.api.routing import Router
from app.core.config import get_settings
from app.core.permissions import Permission
from app.crud import statistics as crud_statistics
from app.crud.listing import Record
from app.schemas.base import FIRST_YEAR, LAST_YEAR
from app.schemas.statistics import Interval, Metric, Overview, Timeseries

router = Router(prefix="/statistics", tags=["statistics"])


def _read_day(value: Any) -> Any:
    """A bare number, which the validator would take for seconds, is no day."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value), re.ASCII):
        raise PydanticCustomError("day", "Must be a day, such as 2026-01-31.")
    return value


Day = Annotated[
    date,
    BeforeValidator(_read_day),
    Field(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31)),
    WithJsonSchema({"type": "string", "format": "date"}),  # JSON Schema has no bounds of dates.
]


@router.get(
    "/overview", response_model=Overview, dependencies=[requires(Permission.STATISTICS_READ)]
)
def get_overview(db: DbSession, actor: CurrentUser, cache: AnswerCache) -> Record:
    """Count the users and items that you may see, by role, department, activity and status."""
    return crud_statistics.get_overview(db, actor=actor, cache=cache)


@router.get(
    "/timeseries", response_model=Timeseries, dependencies=[requires(Permission.STATISTICS_READ)]
)
def get_timeseries(
    db: DbSession,
    actor: CurrentUser,
    cache: AnswerCache,
    metric: Annotated[Metric, Query(description="What is counted; of tokens the sum.")],
    interval: Annotated[Interval, Query(description="How long a bucket is.")] = Interval.DAY,
    tz: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Whose midnights part the days: `Europe/Berlin`. Else `DEFAULT_TIME_ZONE`.",
        ),
    ] = None,
    since: Annotated[Day | None, Query(description="The first day, in that zone.")] = None,
    until: Annotated[
        Day | None, Query(description="The last day, included; today when left out.")
    ] = None,
) -> Record:
    """Count sign-ups, logins, items or tokens over time, where nothing happened too.

    Weeks start on Monday. Buckets are whole, also at both ends; 400 at most. Without `since` they
    are the last 30 days, 12 weeks or 12 months.
    """
    return crud_statistics.get_timeseries(
        db,
        metric=metric,
        interval=interval,
        tz=get_settings().DEFAULT_TIME_ZONE if tz is None else tz,
        since=since,
        until=until,
        actor=actor,
        cache=cache,
    )
