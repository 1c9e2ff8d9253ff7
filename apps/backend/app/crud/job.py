"""One row per job: when it is due, whether somebody runs it, and how it went."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.clock import SKEW, utc_now
from app.core.errors import ConflictError, NotFoundError
from app.db.dialect import upsert
from app.models.job import Job

# Longer than any run; after that, whoever ran the job has died, and another may.
LEASE: Final = timedelta(minutes=5)
MAX_TEXT_LENGTH: Final = 500


class JobNotFoundError(NotFoundError):
    code = "JOB_NOT_FOUND"
    text = "There is no such job."


class JobRunningError(ConflictError):
    code = "JOB_RUNNING"
    text = "The job {name} is running already, here or in another process. Try again in a moment."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went: a text, or an error. One that is not complete has left something to do."""

    text: str | None = None
    error: str | None = None
    is_complete: bool = True


def get_runs(db: Session) -> Mapping[str, Mapping[str, Any]]:
    """Return the last or present run of each job that ever ran, by its name."""
    is_running = and_(Job.runs_until.is_not(None), _is_ahead(Job.runs_until, utc_now()))
    columns = (
        Job.due_at,
        is_running.label("is_running"),
        Job.started_at,
        Job.finished_at,
        Job.outcome,
        Job.error,
    )
    rows = db.execute(select(Job.name, *columns)).mappings()
    return {row["name"]: dict(row) for row in rows}


def get_resting_names(db: Session) -> frozenset[str]:
    """Name the jobs that are not due, or running; one that never ran is due."""
    now = utc_now()
    is_resting = or_(_is_ahead(Job.due_at, now), _is_ahead(Job.runs_until, now))
    return frozenset(db.scalars(select(Job.name).where(is_resting)))


def _is_ahead(moment: InstrumentedAttribute[Any], now: datetime) -> ColumnElement[bool]:
    """Nothing is, of a job whose last run lies ahead itself: the clock was set back since."""
    return and_(moment > now, Job.started_at <= now + SKEW)


def claim_job(db: Session, *, name: str, only_if_due: bool) -> datetime | None:
    """Take the job for the time of a lease, and return when: the mark of this run.

    None where somebody else runs it, or where it is not due and has to be.
    """
    now = utc_now()
    may_start = or_(Job.runs_until.is_(None), ~_is_ahead(Job.runs_until, now))
    if only_if_due:
        may_start = and_(may_start, ~_is_ahead(Job.due_at, now))
    taken = {"started_at": now, "runs_until": now + LEASE}
    return db.scalar(
        upsert(db, Job)
        .values(name=name, due_at=now, **taken)
        .on_conflict_do_update(index_elements=[Job.name], set_=taken, where=may_start)
        .returning(Job.started_at)
    )


def finish_job(
    db: Session, *, name: str, started_at: datetime, outcome: Outcome, due_at: datetime
) -> None:
    """Note how a run went, unless its lease was over and another has begun."""
    db.execute(
        update(Job)
        .where(Job.name == name, Job.started_at == started_at)
        .values(
            runs_until=None,
            finished_at=utc_now(),
            due_at=due_at,
            outcome=_storable(outcome.text),
            error=_storable(outcome.error),
        )
        .execution_options(synchronize_session=False)
    )


def _storable(text: str | None) -> str | None:
    """A mail server's words, say, may be of any length, and hold what no database stores."""
    return text and "".join(one for one in text if one.isprintable())[:MAX_TEXT_LENGTH]
