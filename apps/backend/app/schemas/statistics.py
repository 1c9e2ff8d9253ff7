from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from app.core.permissions import Role
from app.schemas.base import Schema
from app.schemas.item import ItemStatus


class Metric(StrEnum):
    SIGNUPS = "signups"
    LOGINS = "logins"
    ITEMS = "items"
    TOKENS = "tokens"


class Interval(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class DepartmentFigure(Schema):
    department: str | None = Field(description="Null stands for users without a department.")
    users: int


class UserFigures(Schema):
    total: int
    active: int
    inactive: int
    verified: int
    unverified: int
    by_role: dict[Role, int]
    by_department: list[DepartmentFigure] = Field(description="By name, users without one last.")


class ItemFigures(Schema):
    total: int
    by_status: dict[ItemStatus, int]


class Overview(Schema):
    """How many users and items you may see there are, of which kinds."""

    counted_at: datetime
    users: UserFigures
    items: ItemFigures


class Bucket(Schema):
    start: datetime = Field(description="The first moment that counts here; the next one's is out.")
    day: date = Field(description="The day on which it starts, in the time zone asked for.")
    value: int


class Timeseries(Schema):
    """A figure over time, in buckets without gaps, the earliest first."""

    metric: Metric
    interval: Interval
    tz: str
    counted_at: datetime
    total: int
    buckets: list[Bucket]
