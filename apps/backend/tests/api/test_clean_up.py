"""What clean-up and retention delete, and what they must leave."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.crud.batch import BATCH
from app.db.session import unit_of_work
from app.models import (
    AuditEvent,
    Base,
    LoginSession,
    OneTimeToken,
    OutgoingEmail,
    RefreshToken,
    User,
)
from app.schemas.letter import LetterStatus
from app.tasks.clean_up import apply_retention, clean_up
from tests.assertions import assert_error
from tests.factories import make_letter, make_one_time_token, make_session, make_user
from tests.later import later
from tests.server import BACKEND
from tests.settings import changed_settings

PASSWORD = "wallpaper-on-tuesday"
REFRESH = "/api/v1/auth/refresh"
RUNNERS = 4

ClientOf = Callable[[User], TestClient]


def run_job(client: TestClient, name: str = "clean-up") -> str:
    response = client.post(f"/api/v1/jobs/{name}/run")
    assert response.json()["error"] is None
    return str(response.json()["outcome"])


def counts_in(outcomes: Iterable[str | None]) -> Counter[str]:
    """Add up "3 sessions, 2 letters deleted"."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        for number, kind in re.findall(r"(\d+) ([a-z -]+?)(?:,| deleted)", outcome or ""):
            counts[kind] += int(number)
    return counts


def count(db: Session, model: type[Base]) -> int:
    return db.scalar(select(func.count()).select_from(model)) or 0


def ids(db: Session, model: Any) -> set[int]:
    return set(db.scalars(select(model.id)))


def log_in(client: TestClient, user: User) -> str:
    form = {"username": user.email, "password": PASSWORD}
    return str(client.post("/api/v1/auth/login", data=form).json()["refresh_token"])


def refresh(client: TestClient, token: str) -> Any:
    return client.post(REFRESH, json={"refresh_token": token})


def make_audit_events(*, number: int, age: timedelta) -> None:
    values = {
        "at": utc_now() - age,
        "action": "login",
        "resource_type": "user",
        "changes": {},
    }
    with unit_of_work() as db:  # One commit for all of them.
        db.execute(insert(AuditEvent), [values] * number)


def make_expired_sessions(*, user: User, number: int, tokens_each: int) -> None:
    past = utc_now() - timedelta(days=1)
    values = {
        "user_id": user.id,
        "device": "Firefox",
        "address": "192.0.2.7",
        "created_at": past,
        "last_used_at": past,
        "idle_expires_at": past,
        "expires_at": past,
    }
    with unit_of_work() as db:
        sessions = db.scalars(insert(LoginSession).returning(LoginSession.id), [values] * number)
        tokens = [
            {"session_id": session, "token_hash": f"{session}.{n}", "created_at": past}
            for session in sessions
            for n in range(tokens_each)
        ]
        db.execute(insert(RefreshToken), tokens)


# --- Sessions


def test_clean_up_deletes_a_session_past_its_end_with_its_tokens(
    anonymous: TestClient, client_of: ClientOf, admin: User, db: Session
) -> None:
    user = make_user(db, password=PASSWORD)
    token = refresh(anonymous, log_in(anonymous, user)).json()["refresh_token"]

    with later(days=7, seconds=1):
        outcome = run_job(client_of(admin))
        refused = refresh(anonymous, token)

    assert (
        outcome
        == "2 refresh tokens, 1 sessions, 0 one-time tokens, 0 idempotency keys, 0 letters deleted"
    )
    assert count(db, RefreshToken) == 0
    assert_error(refused, 401, "INVALID_TOKEN")


def test_clean_up_keeps_a_session_to_its_last_moment(
    anonymous: TestClient, client_of: ClientOf, admin: User, db: Session
) -> None:
    user = make_user(db, password=PASSWORD)
    log_in(anonymous, user)

    with later(days=6, hours=23, minutes=59):
        run_job(client_of(admin))

    assert count(db, RefreshToken) == 1


def test_clean_up_keeps_ended_and_idle_sessions_to_their_end(
    as_admin: TestClient, user: User, db: Session
) -> None:
    past = utc_now() - timedelta(hours=1)
    kept = {
        make_session(db, user=user, ended_at=past).id,
        make_session(db, user=user, idle_expires_at=past).id,
    }
    make_session(db, user=user, ended_at=past, expires_at=past)

    run_job(as_admin)

    found = set(db.scalars(select(LoginSession.id).where(LoginSession.user_id == user.id)))
    assert found == kept


def test_clean_up_keeps_the_spent_tokens_that_tell_a_theft(
    anonymous: TestClient, client_of: ClientOf, admin: User, db: Session
) -> None:
    user = make_user(db, password=PASSWORD)
    spent = log_in(anonymous, user)
    newest = refresh(anonymous, spent).json()["refresh_token"]

    with later(days=2):
        run_job(client_of(admin))
        reused = refresh(anonymous, spent)
        after_theft = refresh(anonymous, newest)

    assert_error(reused, 401, "REFRESH_TOKEN_REUSED")
    assert after_theft.status_code == 401


# --- One-time tokens and letters


def test_clean_up_deletes_one_time_tokens_past_their_time(
    as_admin: TestClient, user: User, db: Session
) -> None:
    past = utc_now() - timedelta(seconds=1)
    kept = {
        make_one_time_token(db, user=user).id,
        make_one_time_token(db, user=user, used_at=past).id,
    }
    make_one_time_token(db, user=user, expires_at=past)
    make_one_time_token(db, user=user, expires_at=past, used_at=past)

    outcome = run_job(as_admin)

    assert "2 one-time tokens" in outcome
    assert ids(db, OneTimeToken) == kept


def test_clean_up_keeps_a_token_past_its_time_as_long_as_its_letter(
    as_admin: TestClient, user: User, db: Session
) -> None:
    token = make_one_time_token(db, user=user, expires_at=utc_now() - timedelta(seconds=1))
    letter = make_letter(db, token_id=token.id)

    run_job(as_admin)

    db.refresh(letter)
    assert letter.token_id == token.id


def test_clean_up_deletes_letters_sent_long_ago(as_admin: TestClient, db: Session) -> None:
    long_ago = utc_now() - timedelta(days=30, seconds=1)
    old: dict[str, Any] = {"created_at": long_ago, "due_at": long_ago}
    kept = {
        make_letter(db, status=LetterStatus.SENT, sent_at=utc_now() - timedelta(days=29)).id,
        make_letter(db, **old).id,
        make_letter(db, status=LetterStatus.DEAD, **old).id,
        make_letter(db, sent_at=long_ago, **old).id,  # It is sent again.
    }
    make_letter(db, status=LetterStatus.SENT, sent_at=long_ago, **old)

    outcome = run_job(as_admin)

    assert "1 letters" in outcome
    assert ids(db, OutgoingEmail) == kept


# --- Audit


def test_retention_deletes_audit_events_past_their_days(as_admin: TestClient, db: Session) -> None:
    make_audit_events(number=2, age=timedelta(days=400, seconds=1))
    make_audit_events(number=3, age=timedelta(days=399, hours=23))

    outcome = run_job(as_admin, "retention")

    events = db.scalars(select(AuditEvent.action).where(AuditEvent.action == "login"))
    assert outcome == "2 audit events deleted"
    assert len(list(events)) == 3


def test_retention_keeps_events_as_long_as_the_setting_says(db: Session) -> None:
    make_audit_events(number=1, age=timedelta(days=31))

    with changed_settings(AUDIT_RETENTION_DAYS="32"):
        kept = apply_retention()
    with changed_settings(AUDIT_RETENTION_DAYS="30"):
        deleted = apply_retention()

    assert (kept.text, deleted.text) == ("0 audit events deleted", "1 audit events deleted")


def test_clean_up_leaves_audit_events_alone(as_admin: TestClient, db: Session) -> None:
    make_audit_events(number=1, age=timedelta(days=4000))

    run_job(as_admin)

    assert count(db, AuditEvent) == 2  # The run itself is one.


# --- Many rows, and many runners


def test_run_deletes_more_than_a_batch(as_admin: TestClient, db: Session) -> None:
    number = 2 * BATCH + 1
    make_audit_events(number=number, age=timedelta(days=401))

    outcome = run_job(as_admin, "retention")

    assert outcome == f"{number} audit events deleted"
    assert count(db, AuditEvent) == 1


@pytest.mark.postgresql
def test_run_of_a_few_seconds_leaves_the_rest_to_the_next(
    as_admin: TestClient, db: Session
) -> None:
    make_audit_events(number=BATCH + 1, age=timedelta(days=401))
    slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
    db.execute(text(f"{slow}$$ BEGIN PERFORM pg_sleep(3.1); RETURN NULL; END $$"))
    db.execute(
        text(
            "CREATE TRIGGER wait BEFORE DELETE ON audit_events "
            "FOR EACH STATEMENT EXECUTE FUNCTION wait()"
        )
    )
    try:
        first = as_admin.post("/api/v1/jobs/retention/run").json()
    finally:
        db.execute(text("DROP TRIGGER wait ON audit_events"))
        db.execute(text("DROP FUNCTION wait"))
    now = utc_now()
    second = run_job(as_admin, "retention")

    assert first["outcome"] == f"{BATCH} audit events deleted; more is left"
    assert first["due_at"] <= now.isoformat()
    assert second == "1 audit events deleted"


@pytest.mark.postgresql
def test_clean_up_passes_rows_in_other_hands_by(
    as_admin: TestClient, db: Session, user: User
) -> None:
    make_expired_sessions(user=user, number=2, tokens_each=1)
    held = select(LoginSession.id).where(LoginSession.user_id == user.id).limit(1)

    with unit_of_work() as other:
        held_id = other.scalar(held.with_for_update())
        outcome = run_job(as_admin)

    assert "1 sessions" in outcome
    assert db.scalar(held) == held_id


def test_clean_up_by_many_threads_deletes_each_row_once(db: Session, user: User) -> None:
    make_expired_sessions(user=user, number=1500, tokens_each=3)
    for _ in range(5):
        make_one_time_token(db, user=user, expires_at=utc_now())
    barrier = Barrier(RUNNERS)

    def run() -> str | None:
        barrier.wait(timeout=30)
        return clean_up().text

    with ThreadPoolExecutor(RUNNERS) as threads:
        runs = [threads.submit(run) for _ in range(RUNNERS)]
        counts = counts_in(one.result() for one in runs)

    assert counts == Counter({"refresh tokens": 4500, "sessions": 1500, "one-time tokens": 5})
    assert count(db, LoginSession) == count(db, RefreshToken) == count(db, OneTimeToken) == 0


def test_clean_up_by_many_processes_deletes_each_row_once(db: Session, user: User) -> None:
    make_expired_sessions(user=user, number=1500, tokens_each=3)
    script = "from app.tasks.clean_up import clean_up; print(clean_up().text)"

    runners = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=BACKEND,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(RUNNERS)
    ]
    written = [runner.communicate(timeout=60) for runner in runners]

    assert [errors for _, errors in written] == [""] * RUNNERS
    counts = counts_in(outcome for outcome, _ in written)
    assert (counts["refresh tokens"], counts["sessions"]) == (4500, 1500)
    assert count(db, LoginSession) == count(db, RefreshToken) == 0
