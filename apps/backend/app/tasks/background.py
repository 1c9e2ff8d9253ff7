"""One thread per process runs the jobs that are due. Between two looks it holds no connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core.affinity import roam
from app.db.integrity import cause_of, domain_error, is_missing_table, without_values
from app.tasks.schedule import due_jobs, run_if_due

PAUSE_SECONDS: Final = 2.0
# A run that takes longer at a shutdown is left behind; once its lease is over, another goes on.
STOP_SECONDS: Final = 5.0

log = structlog.get_logger("backdesk.jobs")


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
    told: str | None = None
    while not stopping.is_set():
        try:
            _run_due_jobs(stopping)
            told = None
        except Exception as error:  # noqa: BLE001  Logged; whatever happens, the thread lives on.
            told = _tell_once(error, told)
        stopping.wait(pause_seconds)


def _run_due_jobs(stopping: Event) -> None:
    for job in due_jobs():
        if stopping.is_set():
            return
        run_if_due(job)


def _tell_once(error: Exception, told: str | None) -> str:
    """Log what is new; it is not said again at each look."""
    kind = type(error).__name__
    if kind == told:
        return kind
    if _is_passing(error):
        log.warning("jobs wait for the database", cause=cause_of(error))
    else:
        log.error("jobs cannot be run", **without_values(error))
    return kind


def _is_passing(error: Exception) -> bool:
    """Whether the database is gone, busy, or not migrated yet."""
    if isinstance(error, DBAPIError) and is_missing_table(error):
        return True
    return isinstance(error, DBAPIError | PoolTimeoutError) and domain_error(error) is not None
