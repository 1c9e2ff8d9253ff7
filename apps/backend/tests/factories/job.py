from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import Job


def make_job(db: Session, *, name: str, **values: Any) -> Job:
    """Make the row of a job that ran a minute ago and is not due."""
    now = utc_now()
    defaults = {
        "due_at": now + timedelta(hours=1),
        "started_at": now - timedelta(minutes=1),
        "finished_at": now - timedelta(minutes=1),
        "outcome": "5 sessions deleted",
    }
    job = Job(name=name, **defaults | values)
    db.add(job)
    db.commit()
    db.refresh(job)
    return job
