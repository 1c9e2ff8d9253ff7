"""Jobs by processes of their own: a server, the command line, and one that dies in mid-job."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.db.session import get_engine, unit_of_work
from app.models import AuditEvent, Base, Job, LoginSession, User
from tests.assertions import assert_error
from tests.factories import make_job, make_session
from tests.server import BACKEND, running_server

COMMAND = [sys.executable, "-m", "app.cli", "clean-up"]
PATIENCE_SECONDS = 60
# So many that a job is at work for as long as it may.
MANY = 60_000


def start_clean_up() -> subprocess.Popen[str]:
    return subprocess.Popen(
        COMMAND, cwd=BACKEND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(0.01)


def count(db: Session, model: type[Base]) -> int:
    return db.scalar(select(func.count()).select_from(model)) or 0


def is_running(db: Session, name: str) -> bool:
    return db.scalar(select(Job.runs_until).where(Job.name == name)) is not None


def make_old_events(number: int) -> None:
    values: dict[str, Any] = {
        "at": utc_now() - timedelta(days=4000),
        "action": "login",
        "resource_type": "user",
        "changes": {},
    }
    with unit_of_work() as db:
        db.execute(insert(AuditEvent), [values] * number)


def make_expired_session(db: Session, user: User) -> None:
    make_session(db, user=user, expires_at=utc_now() - timedelta(seconds=1))


CLEANED = "0 refresh tokens, 1 sessions, 0 one-time tokens, 0 idempotency keys, 0 letters deleted"


# --- The command line


def test_clean_up_command_tells_what_it_deleted(db: Session, user: User) -> None:
    make_expired_session(db, user)
    make_old_events(2)

    process = start_clean_up()
    printed, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, errors) == (0, "")
    assert printed.splitlines() == [
        f"clean-up: {CLEANED}",
        "retention: 2 audit events deleted",
    ]


@pytest.mark.parametrize("name", ["clean-up", "retention"])
def test_clean_up_command_fails_while_the_job_runs_elsewhere(db: Session, name: str) -> None:
    make_job(db, name=name, runs_until=utc_now() + timedelta(minutes=1))

    process = start_clean_up()
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 1
    assert re.fullmatch(rf"Error: The job {name} is running already, .+\n", errors)


def test_clean_up_command_at_once_deletes_each_row_once(db: Session) -> None:
    make_old_events(2500)

    processes = [start_clean_up() for _ in range(3)]
    written = [process.communicate(timeout=PATIENCE_SECONDS) for process in processes]

    counts = [int(n) for out, _ in written for n in re.findall(r"(\d+) audit events deleted", out)]
    assert sum(counts) == 2500
    for process, (_, errors) in zip(processes, written, strict=True):
        is_refused = re.fullmatch(r"Error: The job \S+ is running already, .+\n", errors)
        assert (process.returncode, errors) == (0, "") or (process.returncode == 1 and is_refused)


# --- A runner that dies


def test_run_job_goes_on_once_the_lease_of_a_killed_runner_is_over(
    as_admin: TestClient, db: Session
) -> None:
    make_old_events(MANY)
    url = "/api/v1/jobs/retention/run"

    process = start_clean_up()
    wait_until(lambda: is_running(db, "retention"))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)

    left = count(db, AuditEvent)
    refused = as_admin.post(url)
    db.execute(update(Job).values(runs_until=utc_now()))  # The lease is over.
    taken_over = as_admin.post(url).json()

    assert process.returncode == -signal.SIGKILL
    assert_error(refused, 409, "JOB_RUNNING")
    assert left > 1000
    assert int(taken_over["outcome"].split()[0]) >= 1000
    assert (taken_over["error"], taken_over["is_running"]) == (None, False)


# --- A server


def test_server_cleans_up_by_itself_and_ends_when_told(
    db: Session, database_url: str, user: User, tmp_path: Path
) -> None:
    make_expired_session(db, user)
    log = tmp_path / "log"

    with running_server(database_url=database_url, log=log) as server:
        wait_until(lambda: count(db, LoginSession) == 0)
        wait_until(lambda: count(db, Job) == 3)
        server.process.terminate()
        started_to_end = time.monotonic()
        server.process.wait(timeout=PATIENCE_SECONDS)
        seconds = time.monotonic() - started_to_end

    assert server.process.returncode in {0, -signal.SIGTERM}
    assert seconds < 15
    assert db.scalar(select(func.count()).where(Job.runs_until.is_not(None))) == 0
    assert not re.search("Traceback|left behind|wait for the database", log.read_text())


def test_server_without_jobs_leaves_them_to_others(
    db: Session, database_url: str, user: User, tmp_path: Path
) -> None:
    make_expired_session(db, user)
    settings = {"JOBS_ENABLED": "false"}

    with running_server(database_url=database_url, log=tmp_path / "log", settings=settings):
        time.sleep(1)

    assert (count(db, LoginSession), count(db, Job)) == (1, 0)


@pytest.mark.postgresql
def test_server_ends_when_told_in_the_midst_of_a_job(
    db: Session, database_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    settings = {"STATEMENT_TIMEOUT_SECONDS": "120"}
    with running_server(database_url=database_url, log=log, settings=settings) as server:
        wait_until(lambda: count(db, Job) == 3 and not is_running(db, "clean-up"))
        with get_engine().connect() as other:
            other.execute(text("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE"))
            db.execute(update(Job).where(Job.name == "clean-up").values(due_at=utc_now()))
            wait_until(lambda: is_running(db, "clean-up"))
            server.process.terminate()
            server.process.wait(timeout=20)

    assert server.process.returncode in {0, -signal.SIGTERM}
    assert "left behind" in log.read_text()
    assert not re.search("Traceback|Fatal", log.read_text())
