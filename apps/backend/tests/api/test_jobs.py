"""Jobs: who runs one, one at a time; what is told of a run, and of one that failed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import AuditEvent, Job, LoginSession, User
from tests.assertions import assert_error
from tests.conftest import POSTGRESQL
from tests.factories import make_job, make_session, make_token
from tests.racing import at_once, statuses
from tests.settings import client_with

URL = "/api/v1/jobs/"
RUN = "/api/v1/jobs/clean-up/run"
NOTHING = "0 refresh tokens, 0 sessions, 0 one-time tokens, 0 idempotency keys, 0 letters deleted"
PAST = timedelta(days=-1)


def make_expired_session(db: Session, *, user: User) -> LoginSession:
    return make_session(db, user=user, expires_at=utc_now() + PAST, device="Ann's own browser")


def count_sessions_of(db: Session, user: User) -> int:
    statement = select(func.count()).where(LoginSession.user_id == user.id)
    return db.scalar(statement) or 0


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_get_jobs_lists_those_that_never_ran(as_admin: TestClient) -> None:
    response = as_admin.get(URL)

    jobs = {job["name"]: job for job in response.json()}
    assert response.status_code == 200
    assert {name: job["interval_seconds"] for name, job in jobs.items()} == {
        "deliver-mail": 5,
        "clean-up": 60 * 60,
        "retention": 24 * 60 * 60,
    }
    for job in jobs.values():
        assert job["id"] == job["name"]
        assert set(job) == {
            "id",
            "name",
            "description",
            "interval_seconds",
            "due_at",
            "is_running",
            "started_at",
            "finished_at",
            "outcome",
            "error",
        }
        assert job["description"].endswith(".")
        assert job["is_running"] is False
        assert {job[name] for name in ("due_at", "started_at", "finished_at", "outcome")} == {None}


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["clean-up", "deliver-mail", "retention"]),
        ({"sort": "-interval_seconds"}, ["retention", "clean-up", "deliver-mail"]),
        ({"sort": '["name","DESC"]', "range": "[0,1]"}, ["retention", "deliver-mail"]),
        ({"_sort": "finished_at", "_order": "desc"}, ["clean-up", "retention", "deliver-mail"]),
        ({"_sort": "finished_at"}, ["clean-up", "deliver-mail", "retention"]),
        ({"_start": "1", "_end": "9"}, ["deliver-mail", "retention"]),
        ({"skip": "3"}, []),
        ({"limit": "1"}, ["clean-up"]),
        ({"q": "DELETES expired"}, ["clean-up"]),
        ({"q": "nothing"}, []),
        ({"filter": '{"id":["clean-up","retention"]}'}, ["clean-up", "retention"]),
        ({"id": "nothing"}, []),
        ({"id_ne": ["clean-up", "retention"]}, ["deliver-mail"]),
        ({"name": "clean-up"}, ["clean-up"]),
        ({"description_like": "LETTERS that"}, ["deliver-mail"]),
        ({"name_gt": "CLEAN-UP"}, ["deliver-mail", "retention"]),
        ({"interval_seconds_lte": "3600"}, ["clean-up", "deliver-mail"]),
        ({"is_running": "false", "interval_seconds_gt": "3600"}, ["retention"]),
        ({"finished_at_null": "false"}, ["clean-up"]),
        ({"finished_at_null": "true"}, ["deliver-mail", "retention"]),
        ({"finished_at_gte": "2020-01-01"}, ["clean-up"]),
        ({"finished_at_lt": "2020-01-01"}, []),
        ({"finished_at": "2026-05-01"}, ["clean-up"]),
        ({"finished_at_ne": "2026-05-01"}, ["deliver-mail", "retention"]),
        ({"filter": '{"finished_at":null}'}, ["deliver-mail", "retention"]),
        ({"filter": '{"finished_at_ne":null}'}, ["clean-up"]),
        ({"filter": '{"finished_at_ne":["2026-05-01",null]}'}, []),
        ({"error_like": "x"}, []),
    ],
)
def test_get_jobs_takes_the_parameters_of_a_list(
    as_admin: TestClient, db: Session, asked: dict[str, Any], names: list[str]
) -> None:
    row = make_job(db, name="clean-up")
    row.finished_at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    db.commit()

    response = as_admin.get(URL, params=asked)

    assert [job["id"] for job in response.json()] == names


def test_get_jobs_tells_the_place_of_the_page(as_admin: TestClient) -> None:
    page = as_admin.get(URL, params={"limit": "2"})
    following = as_admin.get(page.links["next"]["url"])

    assert page.headers["content-range"] == "jobs 0-1/3"
    assert page.headers["x-total-count"] == "3"
    assert following.headers["content-range"] == "jobs 2-2/3"


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [({"name": "nothing"}, "name"), ({"kind": "x"}, "kind"), ({"sort": "nope"}, "sort")],
)
def test_get_jobs_refuses_what_no_job_can_be(
    as_admin: TestClient, asked: dict[str, str], parameter: str
) -> None:
    assert_error(as_admin.get(URL, params=asked), 422, "INVALID_REQUEST", parameter)


def test_get_jobs_has_no_cursors(as_admin: TestClient) -> None:
    page = as_admin.get(URL, params={"limit": "1"})
    after = as_admin.get(URL, params={"after": "x"})

    assert "x-next-cursor" not in page.headers
    assert_error(after, 422, "INVALID_CURSOR", "after")


def test_get_job_shows_one(as_admin: TestClient, db: Session) -> None:
    make_job(db, name="clean-up")

    response = as_admin.get(f"{URL}clean-up")

    assert response.json() == as_admin.get(URL).json()[0]


def test_get_job_that_is_not_there_is_404(as_admin: TestClient) -> None:
    assert_error(as_admin.get(f"{URL}nothing"), 404, "JOB_NOT_FOUND")


def test_get_job_is_for_admins(as_auditor: TestClient) -> None:
    assert_error(as_auditor.get(f"{URL}clean-up"), 403, "PERMISSION_DENIED")


def test_get_jobs_tells_of_the_last_run(as_admin: TestClient, db: Session) -> None:
    row = make_job(db, name="clean-up")

    job = next(job for job in as_admin.get(URL).json() if job["name"] == "clean-up")

    assert (job["outcome"], job["error"]) == ("5 sessions deleted", None)
    assert moment(job["due_at"]) == row.due_at
    assert moment(job["finished_at"]) == row.finished_at


@pytest.mark.parametrize(("seconds", "is_running"), [(60, True), (-1, False)])
def test_get_jobs_tells_what_runs_now(
    as_admin: TestClient, db: Session, seconds: int, is_running: bool
) -> None:
    make_job(db, name="clean-up", runs_until=utc_now() + timedelta(seconds=seconds))

    job = next(job for job in as_admin.get(URL).json() if job["name"] == "clean-up")

    assert job["is_running"] is is_running


def test_get_jobs_leaves_out_those_of_another_release(as_admin: TestClient, db: Session) -> None:
    make_job(db, name="tea")

    names = {job["name"] for job in as_admin.get(URL).json()}

    assert "tea" not in names


def test_run_job_answers_with_how_it_went(as_admin: TestClient, db: Session, user: User) -> None:
    make_expired_session(db, user=user)

    response = as_admin.post(RUN)

    job = response.json()
    assert response.status_code == 200
    assert job["outcome"] == NOTHING.replace("0 sessions", "1 sessions")
    assert (job["error"], job["is_running"]) == (None, False)
    assert moment(job["started_at"]) <= moment(job["finished_at"])
    assert moment(job["due_at"]) - moment(job["finished_at"]) < timedelta(hours=1, seconds=1)
    assert moment(job["due_at"]) - moment(job["started_at"]) >= timedelta(hours=1)
    assert next(one for one in as_admin.get(URL).json() if one["name"] == "clean-up") == job
    assert count_sessions_of(db, user) == 0


@pytest.mark.parametrize("name", ["clean-up", "retention", "deliver-mail"])
def test_run_job_runs_each(as_admin: TestClient, name: str) -> None:
    response = as_admin.post(f"{URL}{name}/run")

    assert response.status_code == 200
    assert response.json()["error"] is None
    assert response.json()["outcome"]


def test_run_job_runs_one_that_is_not_due(as_admin: TestClient, db: Session) -> None:
    make_job(db, name="clean-up", due_at=utc_now() + timedelta(hours=1))

    response = as_admin.post(RUN)

    assert response.json()["outcome"] == NOTHING


def test_run_job_forgets_how_the_last_run_failed(as_admin: TestClient, db: Session) -> None:
    make_job(db, name="clean-up", outcome=None, error="OperationalError: gone")

    response = as_admin.post(RUN)

    assert (response.json()["outcome"], response.json()["error"]) == (NOTHING, None)


@pytest.mark.parametrize("name", ["tea", "CLEAN-UP", "clean_up", "%00", "%F0%9F%A6%8A", "x" * 999])
def test_run_job_refuses_an_unknown_name(as_admin: TestClient, db: Session, name: str) -> None:
    response = as_admin.post(f"{URL}{name}/run")

    assert_error(response, 404, "JOB_NOT_FOUND")
    assert db.scalar(select(func.count()).select_from(Job)) == 0


def test_run_job_refuses_one_that_runs_elsewhere(
    as_admin: TestClient, db: Session, user: User
) -> None:
    make_expired_session(db, user=user)
    row = make_job(db, name="clean-up", runs_until=utc_now() + timedelta(seconds=30))
    before = (row.started_at, row.runs_until, row.outcome)

    response = as_admin.post(RUN)

    assert_error(response, 409, "JOB_RUNNING")
    db.refresh(row)
    assert (row.started_at, row.runs_until, row.outcome) == before
    assert count_sessions_of(db, user) == 1
    assert recorded_runs(db) == []


def test_run_job_goes_on_where_a_runner_has_died(
    as_admin: TestClient, db: Session, user: User
) -> None:
    make_expired_session(db, user=user)
    make_job(db, name="clean-up", runs_until=utc_now() - timedelta(seconds=1), due_at=utc_now())

    response = as_admin.post(RUN)

    assert response.status_code == 200
    assert count_sessions_of(db, user) == 0


def test_run_job_goes_on_where_the_clock_was_set_back(as_admin: TestClient, db: Session) -> None:
    """Whoever ran it had it for minutes, and not for the hour beside."""
    now = utc_now()
    make_job(
        db,
        name="clean-up",
        started_at=now + timedelta(minutes=59),
        runs_until=now + timedelta(minutes=64),
        due_at=now + timedelta(minutes=60),
    )

    is_running = [job["is_running"] for job in as_admin.get(URL).json()]
    response = as_admin.post(RUN)

    assert is_running == [False] * 3
    assert response.json()["outcome"] == NOTHING


def test_run_job_of_a_server_whose_clock_is_ahead_is_refused(
    as_admin: TestClient, db: Session
) -> None:
    now = utc_now()
    ends = {"runs_until": now + timedelta(minutes=5), "due_at": now + timedelta(minutes=60)}
    make_job(db, name="clean-up", started_at=now + timedelta(seconds=5), **ends)

    response = as_admin.post(RUN)

    assert_error(response, 409, "JOB_RUNNING")


def test_run_job_is_recorded_with_who_asked(as_admin: TestClient, admin: User, db: Session) -> None:
    response = as_admin.post(RUN)

    (event,) = recorded_runs(db)
    assert (event.actor_id, event.actor_email) == (admin.id, admin.email)
    assert event.changes == {"name": [None, "clean-up"]}
    assert event.request_id == response.headers["x-request-id"]


def test_run_job_at_once_runs_one_at_a_time(
    client_of: Callable[[User], TestClient], admin: User, user: User, db: Session
) -> None:
    for _ in range(5):
        make_expired_session(db, user=user)
    clients = [client_of(admin) for _ in range(6)]

    responses = at_once([lambda client=client: client.post(RUN) for client in clients])  # type: ignore[misc]  # Binds it.

    counts = statuses(responses)
    assert set(counts) <= {200, 409}
    assert counts[200] == len(recorded_runs(db))
    deleted = [r.json()["outcome"].split(", ")[1] for r in responses if r.status_code == 200]
    # Each answer shows the last run, which may be another's by then.
    assert set(deleted) <= {"0 sessions", "5 sessions"}
    assert count_sessions_of(db, user) == 0


# --- With a key

KEY = {"Idempotency-Key": "once"}


@pytest.mark.parametrize("name", ["clean-up", "retention", "deliver-mail"])
def test_run_job_with_a_key_runs_once(as_admin: TestClient, db: Session, name: str) -> None:
    url = f"{URL}{name}/run"

    first, again = (as_admin.post(url, headers=KEY) for _ in range(2))
    other = as_admin.post(url, headers={"Idempotency-Key": "another"})

    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 200)
    assert first.json()["error"] is None
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert len(recorded_runs(db)) == 2


def test_run_job_with_a_key_needs_one_connection(db: Session, admin: User) -> None:
    with client_with(DB_POOL_SIZE="1", DB_POOL_TIMEOUT_SECONDS="1") as client:
        client.headers["Authorization"] = f"Bearer {make_token(db, user=admin)}"
        response = client.post(RUN, headers=KEY)

    assert response.json()["outcome"] == NOTHING


def test_run_job_refuses_the_key_of_another_request_and_runs_nothing(
    as_admin: TestClient, db: Session
) -> None:
    as_admin.post("/api/v1/items/", json={"title": "Lamp"}, headers=KEY)

    response = as_admin.post(RUN, headers=KEY)

    assert_error(response, 422, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")
    assert recorded_runs(db) == []


def test_run_job_that_is_refused_leaves_its_key_free(as_admin: TestClient, db: Session) -> None:
    job = make_job(db, name="clean-up", runs_until=utc_now() + timedelta(minutes=1))
    refused = as_admin.post(RUN, headers=KEY)
    db.delete(job)
    db.flush()

    response = as_admin.post(RUN, headers=KEY)

    assert_error(refused, 409, "JOB_RUNNING")
    assert response.json()["outcome"] == NOTHING


def test_run_job_sent_with_one_key_at_once_is_told_or_refused(
    client_of: Callable[[User], TestClient], admin: User, db: Session
) -> None:
    clients = [client_of(admin) for _ in range(6)]

    responses = at_once([lambda client=client: client.post(RUN, headers=KEY) for client in clients])  # type: ignore[misc]  # Binds it.

    assert set(statuses(responses)) <= {200, 409}
    assert len({one.content for one in responses if one.status_code == 200}) == 1


# --- A run that fails


@contextmanager
def no_session_deleted(db: Session) -> Iterator[None]:
    """Have the database refuse, and tell what stands in the row."""
    if POSTGRESQL is None:
        db.execute(
            text(
                "CREATE TRIGGER refuse BEFORE DELETE ON sessions "
                "BEGIN SELECT RAISE(ABORT, 'not Ann''s own browser'); END"
            )
        )
    else:
        db.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'not %', OLD.device; END $$"
            )
        )
        db.execute(
            text(
                "CREATE TRIGGER refuse BEFORE DELETE ON sessions "
                "FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    try:
        yield
    finally:
        on_table = "" if POSTGRESQL is None else " ON sessions"
        db.execute(text(f"DROP TRIGGER refuse{on_table}"))
        if POSTGRESQL is not None:
            db.execute(text("DROP FUNCTION refuse"))


def test_run_job_that_fails_says_so_without_a_value(
    as_admin: TestClient, user: User, db: Session, caplog: pytest.LogCaptureFixture
) -> None:
    make_expired_session(db, user=user)
    with no_session_deleted(db):
        response = as_admin.post(RUN)

    job = response.json()
    assert response.status_code == 200
    assert (job["outcome"], job["is_running"]) == (None, False)
    assert "Error" in job["error"]
    assert "Ann" not in job["error"]
    assert "Ann" not in caplog.text
    failures: list[Any] = [r.msg for r in caplog.records if r.levelno >= logging.ERROR]
    assert [(one["event"], one["job"]) for one in failures] == [("job failed", "clean-up")]


def test_run_job_that_fails_is_due_again_soon(
    as_admin: TestClient, user: User, db: Session
) -> None:
    make_expired_session(db, user=user)
    with no_session_deleted(db):
        failed = as_admin.post(RUN).json()
    again = as_admin.post(RUN).json()

    assert moment(failed["due_at"]) <= utc_now() + timedelta(minutes=10)
    assert "1 sessions" in again["outcome"]


def recorded_runs(db: Session) -> list[AuditEvent]:
    statement = select(AuditEvent).where(
        AuditEvent.action == "job_run", AuditEvent.resource_type == "job"
    )
    return list(db.scalars(statement))
