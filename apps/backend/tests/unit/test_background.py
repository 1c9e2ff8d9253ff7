"""The thread that runs due jobs: it outlives its database, says so once, and ends when told."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.logging import configure_logging
from app.crud import job as crud_job
from app.crud.job import Outcome
from app.db import migrations
from app.db.session import get_engine, read_only, unit_of_work
from app.main import create_app
from app.models import Job
from app.tasks.schedule import JOBS, background_jobs, due_jobs, run_if_due
from tests.factories import make_job
from tests.server import free_port
from tests.settings import changed_settings

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 30.0


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(PAUSE_SECONDS)


def count_finished() -> int:
    with read_only() as db:
        statement = select(func.count()).where(Job.finished_at.is_not(None))
        return db.scalar(statement) or 0


def are_threads_of_jobs() -> bool:
    return any(thread.name == "jobs" for thread in threading.enumerate())


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    events: list[Any] = [r.msg for r in caplog.records if r.levelno >= logging.WARNING]
    return [one["event"] for one in events]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    configure_logging()
    logging.getLogger().addHandler(caplog.handler)
    return caplog


def test_background_runs_every_job_that_is_due_once(db: Session) -> None:
    make_job(db, name="retention", due_at=utc_now() - timedelta(seconds=1), outcome="old")
    make_job(db, name="clean-up", outcome="not due")

    with background_jobs(pause_seconds=PAUSE_SECONDS):
        wait_until(lambda: count_finished() == len(JOBS))

    outcomes = {job.name: job.outcome for job in db.scalars(select(Job))}
    assert outcomes["retention"] == "0 audit events deleted"
    assert outcomes["clean-up"] == "not due"


def test_background_leaves_a_job_that_another_has_run_since_the_look(db: Session) -> None:
    row = make_job(db, name="clean-up")

    run_if_due(JOBS["clean-up"])

    db.refresh(row)
    assert row.outcome == "5 sessions deleted"


def test_background_runs_what_waits_for_a_clock_that_was_set_back(db: Session) -> None:
    ahead = utc_now() + timedelta(minutes=58)
    for name in JOBS:
        ends = {"due_at": ahead + timedelta(minutes=1), "runs_until": ahead + timedelta(minutes=5)}
        make_job(db, name=name, started_at=ahead, **ends)

    for job in due_jobs():
        run_if_due(job)

    assert "5 sessions deleted" not in db.scalars(select(Job.outcome)).all()


def test_run_whose_lease_was_over_does_not_end_the_next(db: Session) -> None:
    row = make_job(db, name="clean-up", due_at=utc_now())
    with unit_of_work() as unit:
        lost = crud_job.claim_job(unit, name="clean-up", only_if_due=True)
    row.runs_until = utc_now()
    db.commit()
    with unit_of_work() as unit:
        taken = crud_job.claim_job(unit, name="clean-up", only_if_due=True)

    with unit_of_work() as unit:
        assert lost is not None
        crud_job.finish_job(
            unit, name="clean-up", started_at=lost, outcome=Outcome("late"), due_at=utc_now()
        )

    db.refresh(row)
    assert (row.outcome, row.started_at) == ("5 sessions deleted", taken)
    assert row.runs_until is not None


def test_background_looks_with_one_statement(db: Session, statements: list[str]) -> None:
    for name in JOBS:
        make_job(db, name=name)

    with background_jobs(pause_seconds=PAUSE_SECONDS):
        wait_until(lambda: len(statements) >= 5)

    assert {one.split()[0] for one in statements} == {"SELECT"}


def test_background_holds_no_connection_between_two_looks(
    db: Session, statements: list[str]
) -> None:
    for name in JOBS:
        make_job(db, name=name)

    with background_jobs(pause_seconds=PATIENCE_SECONDS):
        wait_until(lambda: statements != [])
        wait_until(lambda: "Current Checked out connections: 0" in get_engine().pool.status())


def test_background_leaves_a_job_that_runs_elsewhere(db: Session) -> None:
    now = utc_now()
    row = make_job(db, name="clean-up", due_at=now, runs_until=now + timedelta(minutes=1))

    with background_jobs(pause_seconds=PAUSE_SECONDS):
        wait_until(lambda: count_finished() == len(JOBS))

    db.refresh(row)
    assert row.outcome == "5 sessions deleted"


def test_background_waits_for_its_tables_and_says_so_once(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    with changed_settings(DATABASE_URL=f"sqlite:///{tmp_path}/new.db"):
        with background_jobs(pause_seconds=PAUSE_SECONDS):
            wait_until(lambda: warnings_in(log) != [])
            time.sleep(PAUSE_SECONDS * 10)
            warnings = warnings_in(log)
            migrations.migrate()
            wait_until(lambda: count_finished() == len(JOBS))
        assert not are_threads_of_jobs()

    assert warnings == ["jobs wait for the database"]


def test_background_waits_for_a_database_that_is_gone_and_says_so_once(
    log: pytest.LogCaptureFixture,
) -> None:
    url = f"postgresql://backdesk:hunter2@127.0.0.1:{free_port()}/gone"

    with changed_settings(DATABASE_URL=url), background_jobs(pause_seconds=PAUSE_SECONDS):
        wait_until(lambda: warnings_in(log) != [])
        time.sleep(PAUSE_SECONDS * 10)

    assert warnings_in(log) == ["jobs wait for the database"]
    assert "hunter2" not in log.text


def test_background_ends_at_once_with_the_application() -> None:
    with changed_settings(JOBS_ENABLED="true"):
        with TestClient(create_app()):
            started = are_threads_of_jobs()
            wait_until(lambda: count_finished() == len(JOBS))
        ended = not are_threads_of_jobs()

    assert (started, ended) == (True, True)


def test_background_starts_only_with_the_application() -> None:
    with changed_settings(JOBS_ENABLED="true"):
        create_app()
        before = are_threads_of_jobs()
    with changed_settings(JOBS_ENABLED="false"), TestClient(create_app()):
        switched_off = are_threads_of_jobs()

    assert (before, switched_off) == (False, False)
