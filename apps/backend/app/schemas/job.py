from datetime import datetime

from pydantic import Field

from app.schemas.base import Schema


class JobPublic(Schema):
    """What is done in the background, and how it went the last time."""

    id: str = Field(description="Its name.")
    name: str
    description: str
    interval_seconds: int = Field(description="How long after a run the next one is due.")
    due_at: datetime | None = Field(description="Null where it never ran: it is due now.")
    is_running: bool
    started_at: datetime | None
    finished_at: datetime | None = Field(description="When a run last ended.")
    outcome: str | None = Field(description="What that run did.")
    error: str | None = Field(description="Why that run failed.")
