"""The jobs, and how one is run: by one process at a time, whoever asks for it. One thread per
process runs those that are due. Between two looks it holds no connection.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any, Final

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from app.core.affinity import roam
from app.core.clock import utc_now
from app.core.origin import Origin
from app.crud import audit as crud_audit
from app.crud import job as crud_job
from app.crud.job import JobNotFoundError, JobRunningError, Outcome
from app.db.borrowing import on_its_own
from app.db.integrity import cause_of, domain_error, without_values
from app.db.session import read_only, unit_of_work
from app.tasks.clean_up import apply_retention, clean_up
from app.tasks.deliver_mail import deliver_mail

PAUSE_SECONDS: Final = 2.0
# A run that takes longer at a shutdown is left behind; once its lease is over, another goes on.
STOP_SECONDS: Final = 5.0
LONGEST_WAIT_AFTER_FAILURE: Final = timedelta(minutes=10)

log = structlog.get_logger("backdesk.jobs")


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    name: str
    description: str
    interval: timedelta
    run: Callable[[], Outcome]


JOBS: Final[Mapping[str, ScheduledJob]] = {
    job.name: job
    for job in (
        ScheduledJob(
            "deliver-mail",
            "Delivers the letters that wait.",
            timedelta(seconds=5),
            lambda: Outcome(deliver_mail()),
        ),
        ScheduledJob(
            "clean-up",
            "Deletes expired sessions and tokens, and letters sent over 30 days ago.",
            timedelta(hours=1),
            clean_up,
        ),
        ScheduledJob(
            "retention",
            "Deletes audit events older than AUDIT_RETENTION_DAYS.",
            timedelta(days=1),
            apply_retention,
        ),
    )
}
_NEVER_RUN: Final = dict.fromkeys(("due_at", "started_at", "finished_at", "outcome", "error"))


def get_jobs(db: Session) -> list[dict[str, Any]]:
    runs = crud_job.get_runs(db)
    return [_public(job, runs) for job in JOBS.values()]


def get_job(db: Session, *, name: str) -> dict[str, Any]:
    """Raises JobNotFoundError."""
    if name not in JOBS:
        raise JobNotFoundError
    return _public(JOBS[name], crud_job.get_runs(db))


def _public(job: ScheduledJob, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "id": job.name,
        "name": job.name,
        "description": job.description,
        "interval_seconds": int(job.interval.total_seconds()),
        **runs.get(job.name, {"is_running": False, **_NEVER_RUN}),
    }


def run_job(name: str, *, origin: Origin | None = None) -> Outcome:
    """Run a job now, on somebody's word. Raises JobNotFoundError, JobRunningError."""
    job = JOBS.get(name)
    if job is None:
        raise JobNotFoundError
    with on_its_own():
        with unit_of_work(origin) as db:
            started_at = crud_job.claim_job(db, name=name, only_if_due=False)
            if started_at is None:
                raise JobRunningError(name=name)
            crud_audit.record(
                db,
                action="job_run",
                resource_type="job",
                resource_id=None,
                changes={"name": [None, name]},
            )
        return _run(job, started_at)


def due_jobs() -> list[ScheduledJob]:
    with read_only() as db:
        resting = crud_job.get_resting_names(db)
    return [job for job in JOBS.values() if job.name not in resting]


def run_if_due(job: ScheduledJob) -> None:
    """Run the job, unless another process has been faster."""
    with unit_of_work() as db:
        started_at = crud_job.claim_job(db, name=job.name, only_if_due=True)
    if started_at is not None:
        _run(job, started_at)


def _run(job: ScheduledJob, started_at: datetime) -> Outcome:
    """The job has been claimed. Its failure is an outcome as well."""
    outcome = Outcome(error="Interrupted")
    try:
        outcome = job.run()
    except Exception as error:  # noqa: BLE001  Logged and stored: the next run may do better.
        log.error("job failed", job=job.name, **without_values(error))
        outcome = Outcome(error=cause_of(error))
    finally:
        due_at = utc_now() + _pause(job, outcome)
        with unit_of_work() as db:
            crud_job.finish_job(
                db, name=job.name, started_at=started_at, outcome=outcome, due_at=due_at
            )
    return outcome


def _pause(job: ScheduledJob, outcome: Outcome) -> timedelta:
    if outcome.error is not None:
        return min(job.interval, LONGEST_WAIT_AFTER_FAILURE)
    return job.interval if outcome.is_complete else timedelta()


@contextmanager
def background_jobs(*, pause_seconds: float = PAUSE_SECONDS) -> Iterator[None]:
    stopping = Event()
    thread = Thread(target=_work, args=(stopping, pause_seconds), name="jobs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            log.warning("a job does not end; it is left behind")


def _work(stopping: Event, pause_seconds: float) -> None:
    roam()
    told = ""
    while not stopping.is_set():
        try:
            for job in due_jobs():
                if stopping.is_set():
                    return
                run_if_due(job)
            told = ""
        except Exception as error:  # noqa: BLE001  Logged; whatever happens, the thread lives on.
            if (kind := type(error).__name__) != told:  # Else it is not said again at each look.
                _log(error)
            told = kind
        stopping.wait(pause_seconds)


def _log(error: Exception) -> None:
    """Warn where the database is gone, busy, or not migrated yet; else it is our own bug."""
    if isinstance(error, DBAPIError | PoolTimeoutError) and domain_error(error) is not None:
        log.warning("jobs wait for the database", cause=cause_of(error))
    else:
        log.error("jobs cannot be run", **without_values(error))
