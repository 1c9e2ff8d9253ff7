from datetime import datetime

from pydantic import Field

from app.schemas.base import Schema


class Problem(Schema):
    """Why a request was refused (RFC 9457, with the keys that panels read)."""

    status: int
    title: str = Field(examples=["Conflict"])
    error: str = Field(description="For programs; never changes.")
    detail: str = Field(description="For people.")
    message: str = Field(description="The same text as `detail`.")
    errors: dict[str, str] = Field(description="Text by field, nested ones by path.")
    path: str = Field(examples=["/api/v1/items"])
    timestamp: datetime
    request_id: str = Field(examples=["9c1f0a6c54a1b2d3e4f50617"])


class FieldChange(Schema):
    field: str
    by: str | None = Field(description="Whose e-mail; null is the command line.")
    at: datetime


class ChangedProblem(Problem):
    """The refusal of a change that is based on an older version."""

    changes: list[FieldChange] = Field(
        description="What has changed since the version that you named; the last change of each."
    )
