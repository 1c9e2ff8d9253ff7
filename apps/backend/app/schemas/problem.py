from datetime import datetime

from pydantic import Field

from app.schemas.base import Schema


class Problem(Schema):
    """Why a request was refused (RFC 9457, with the keys that panels read)."""

    status: int
    title: str
    error: str = Field(description="For programs; never changes.")
    detail: str = Field(description="For people.")
    message: str = Field(description="The same text as `detail`.")
    errors: dict[str, str] = Field(description="Text by field, nested ones by path.")
    path: str
    timestamp: datetime
    request_id: str
