from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from app.core.text import LINE, LINES
from app.schemas.base import (
    COMPARED,
    INVISIBLE_IS_NULL,
    TRIMMED,
    InputSchema,
    RecordId,
    Schema,
)
from app.schemas.user import UserPublic

Tokens = Annotated[int, Field(ge=1, le=10**9, examples=[250])]
Kind = Annotated[
    str, Field(min_length=1, max_length=50, pattern=LINE, examples=["summary"]), COMPARED, TRIMMED
]
Note = Annotated[
    str,
    Field(max_length=500, pattern=LINES, examples=["Minutes of Monday's meeting"]),
    INVISIBLE_IS_NULL,
]

MonthlyUse = Annotated[int, Field(description="In this month (UTC).")]
Remaining = Annotated[
    int | None, Field(description="Of this month's quota; null where it is unlimited.")
]


class UsageCreate(InputSchema):
    tokens: Tokens
    kind: Kind
    note: Note | None = None
    user_id: RecordId | None = Field(
        None, description="Yourself when left out; another only by who may write others' usage."
    )


class UsagePublic(Schema):
    """Who has consumed how much, for what."""

    indexed = frozenset({"id", "user_id", "tokens", "created_at"})

    id: int
    user_id: int
    tokens: int
    kind: str = Field(examples=["summary"])
    note: str | None = Field(examples=["Minutes of Monday's meeting"])
    created_at: datetime
    recorded_by: int | None


class UsageRecorded(UsagePublic):
    """What was entered, and what it leaves of the quota."""

    monthly_tokens_used: MonthlyUse
    tokens_remaining: Remaining


class KindUsage(Schema):
    kind: str
    tokens: int


class UserUsage(Schema):
    month: date = Field(description="The first day of this month (UTC).")
    token_quota: int | None = Field(description="Monthly; null is unlimited.")
    total_tokens_used: int
    monthly_tokens_used: MonthlyUse
    tokens_remaining: Remaining
    monthly_by_kind: list[KindUsage] = Field(
        description="This month's kinds that took the most, at most 100 of them."
    )


class UserWithStats(UserPublic):
    total_tokens_used: int
    monthly_tokens_used: MonthlyUse
    tokens_remaining: Remaining
    item_count: int
