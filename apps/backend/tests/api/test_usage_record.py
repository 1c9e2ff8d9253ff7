from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import AuditEvent, UsageEvent, UsageMonth, User
from tests.assertions import assert_error
from tests.factories import make_usage, make_user
from tests.racing import Call, at_once, statuses

URL = "/api/v1/usage/"
USERS = "/api/v1/users/"
ClientOf = Callable[[User], TestClient]


def consume(client: TestClient, tokens: int, **values: Any) -> Any:
    return client.post(URL, json={"tokens": tokens, "kind": "summary", **values})


def entries(db: Session) -> Sequence[tuple[int, int, str]]:
    """Return user, tokens and kind of every row of the ledger."""
    rows = db.execute(select(UsageEvent).order_by(UsageEvent.id)).scalars()
    return [(row.user_id, row.tokens, row.kind) for row in rows]


def counters(db: Session) -> dict[tuple[int, str], int]:
    db.expire_all()
    rows = db.execute(select(UsageMonth)).scalars()
    return {(row.user_id, row.month.isoformat()): row.tokens for row in rows}


def month() -> str:
    return f"{utc_now():%Y-%m}-01"


# --- What is recorded.


def test_record_usage_answers_the_entry_its_place_and_what_remains(
    as_user: TestClient, user: User, db: Session
) -> None:
    response = consume(as_user, 30, note="Monday's meeting")

    record = response.json()
    assert response.status_code == 201
    assert record == {
        "id": record["id"],
        "user_id": user.id,
        "tokens": 30,
        "kind": "summary",
        "note": "Monday's meeting",
        "created_at": record["created_at"],
        "recorded_by": user.id,
        "monthly_tokens_used": 30,
        "tokens_remaining": 970,
    }
    shown = as_user.get(response.headers["location"]).json()
    assert shown == {name: record[name] for name in shown}
    assert entries(db) == [(user.id, 30, "summary")]
    assert counters(db) == {(user.id, month()): 30}


def test_record_usage_adds_up(as_user: TestClient, user: User, db: Session) -> None:
    answers = [consume(as_user, tokens).json() for tokens in (30, 1, 969)]

    assert [answer["tokens_remaining"] for answer in answers] == [970, 969, 0]
    assert counters(db) == {(user.id, month()): 1000}


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({"tokens": 0}, "tokens"),
        ({"tokens": -5}, "tokens"),
        ({"tokens": 10**9 + 1}, "tokens"),
        ({"tokens": 1.5}, "tokens"),
        ({"tokens": "30"}, "tokens"),
        ({"tokens": ""}, "tokens"),
        ({"tokens": True}, "tokens"),
        ({"tokens": None}, "tokens"),
        ({"kind": ""}, "kind"),
        ({"kind": "  "}, "kind"),
        ({"kind": "x" * 51}, "kind"),
        ({"kind": None}, "kind"),
        ({"kind": "a\0b"}, "kind"),
        ({"note": "x" * 501}, "note"),
        ({"user_id": 0}, "user_id"),
        ({"user_id": 2**53}, "user_id"),
        ({"created_at": "2026-01-01T00:00:00Z"}, "created_at"),
        ({"recorded_by": 1}, "recorded_by"),
    ],
)
def test_record_usage_refuses_what_is_not_valid(
    as_admin: TestClient, db: Session, fields: dict[str, Any], blamed: str
) -> None:
    response = as_admin.post(URL, json={"tokens": 30, "kind": "summary", **fields})

    assert_error(response, 422, "INVALID_REQUEST", blamed)
    assert entries(db) == []


def test_record_usage_takes_the_largest_values(db: Session, client_of: ClientOf) -> None:
    client = client_of(make_user(db, token_quota=None))

    response = consume(client, 10**9, kind="x" * 50, note="x" * 500)

    assert response.status_code == 201


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_record_usage_is_for_good(
    as_admin: TestClient, admin: User, db: Session, method: str
) -> None:
    event = make_usage(db, user=admin)

    response = as_admin.request(method, f"{URL}{event.id}", json={"tokens": 1})

    assert_error(response, 405, "METHOD_NOT_ALLOWED")


# --- The quota.


def test_record_usage_refuses_more_than_remains_and_writes_nothing(
    as_user: TestClient, user: User, db: Session
) -> None:
    consume(as_user, 950)

    response = consume(as_user, 51)

    assert_error(response, 429, "QUOTA_EXCEEDED", "tokens")
    assert "50 of 1000 tokens left" in response.json()["detail"]
    assert entries(db) == [(user.id, 950, "summary")]
    assert counters(db) == {(user.id, month()): 950}


@pytest.mark.parametrize(
    ("moment", "seconds", "turn"),
    [
        (datetime(2031, 1, 31, 23, 59, 59, 500_000, UTC), 1, "2031-02-01T00:00:00Z"),
        (datetime(2031, 2, 1, tzinfo=UTC), 28 * 86400, "2031-03-01T00:00:00Z"),
        (datetime(2031, 12, 30, 12, tzinfo=UTC), 36 * 3600, "2032-01-01T00:00:00Z"),
    ],
)
def test_record_usage_over_the_quota_tells_when_the_month_turns(
    client_of: ClientOf, db: Session, moment: datetime, seconds: int, turn: str
) -> None:
    with time_machine.travel(moment, tick=False):
        response = consume(client_of(make_user(db, token_quota=10)), 11)

    assert_error(response, 429, "QUOTA_EXCEEDED", "tokens")
    assert response.headers["retry-after"] == str(seconds)
    assert turn in response.json()["detail"]
    assert "ratelimit" not in response.headers


def test_record_usage_begins_anew_when_the_month_turns_in_utc(
    client_of: ClientOf, db: Session
) -> None:
    user = make_user(db, token_quota=100)
    last_second = datetime(2031, 3, 31, 23, 59, 59, tzinfo=UTC)

    with time_machine.travel(last_second, tick=False) as traveller:
        client = client_of(user)
        before = [consume(client, tokens).status_code for tokens in (100, 1)]
        traveller.shift(1)
        after = consume(client, 100)

    assert before == [201, 429]
    assert after.json()["tokens_remaining"] == 0
    assert counters(db) == {(user.id, "2031-03-01"): 100, (user.id, "2031-04-01"): 100}


def test_record_usage_follows_a_quota_at_once(
    client_of: ClientOf, as_admin: TestClient, db: Session
) -> None:
    user = make_user(db, token_quota=100)
    client = client_of(user)

    def under(quota: int | None, tokens: int) -> tuple[int, int | None]:
        as_admin.patch(f"{USERS}{user.id}", json={"token_quota": quota}).raise_for_status()
        response = consume(client, tokens)
        return response.status_code, response.json().get("tokens_remaining")

    assert under(100, 100) == (201, 0)
    assert under(150, 30) == (201, 20)
    assert under(120, 1) == (429, None)  # Less than was used by now.
    assert under(None, 10**6) == (201, None)
    assert under(0, 1) == (429, None)
    assert counters(db) == {(user.id, month()): 130 + 10**6}


def test_record_usage_at_once_is_never_overdrawn(client_of: ClientOf, db: Session) -> None:
    user = make_user(db, token_quota=100)

    def consumption() -> Call:
        client = client_of(user)
        return lambda: consume(client, 30)

    responses = at_once([consumption() for _ in range(20)])

    left = [one.json()["tokens_remaining"] for one in responses if one.status_code == 201]
    assert statuses(responses) == {201: 3, 429: 17}
    assert sorted(left) == [10, 40, 70]
    assert entries(db) == [(user.id, 30, "summary")] * 3
    assert counters(db) == {(user.id, month()): 90}


def test_record_usage_at_once_by_many_users_is_counted_for_each(
    client_of: ClientOf, db: Session
) -> None:
    users = [make_user(db, token_quota=60) for _ in range(4)]

    def consumption(user: User) -> Call:
        client = client_of(user)
        return lambda: consume(client, 30)

    responses = at_once([consumption(user) for user in users * 4])

    assert statuses(responses) == {201: 8, 429: 8}
    assert counters(db) == {(user.id, month()): 60 for user in users}


# --- For others.


@pytest.mark.parametrize(
    ("role", "department", "answer"),
    [
        (Role.ADMIN, "Sales", (201, None)),
        (Role.ADMIN, "Kitchen", (201, None)),
        (Role.MANAGER, "Sales", (201, None)),
        (Role.MANAGER, "Kitchen", (409, "CONSUMER_NOT_FOUND")),
        (Role.USER, "Sales", (403, "CONSUMER_NOT_PERMITTED")),
        (Role.AUDITOR, "Sales", (403, "PERMISSION_DENIED")),
    ],
)
def test_record_usage_for_another_needs_permission_and_sight(
    client_of: ClientOf, db: Session, role: Role, department: str, answer: tuple[int, str | None]
) -> None:
    actor = make_user(db, role=role, department="Sales")
    consumer = make_user(db, department=department)

    response = consume(client_of(actor), 30, user_id=consumer.id)

    assert (response.status_code, response.json().get("error")) == answer
    is_done = response.status_code == 201
    assert entries(db) == ([(consumer.id, 30, "summary")] if is_done else [])
    assert counters(db) == ({(consumer.id, month()): 30} if is_done else {})
    if is_done:
        assert response.json()["recorded_by"] == actor.id


def test_record_usage_for_another_is_held_against_the_quota_of_theirs(
    client_of: ClientOf, db: Session
) -> None:
    admin = make_user(db, role=Role.ADMIN, token_quota=None)
    consumer = make_user(db, token_quota=20)

    response = consume(client_of(admin), 21, user_id=consumer.id)

    assert_error(response, 429, "QUOTA_EXCEEDED", "tokens")


def test_record_usage_for_oneself_may_name_oneself(as_user: TestClient, user: User) -> None:
    response = consume(as_user, 30, user_id=user.id)

    assert response.json()["user_id"] == user.id


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"deleted_at": datetime(2031, 1, 1, tzinfo=UTC)}, "CONSUMER_NOT_FOUND"),
        ({"is_active": False}, "CONSUMER_INACTIVE"),
        ({"is_active": False, "token_quota": 0}, "CONSUMER_INACTIVE"),
    ],
)
def test_record_usage_refuses_who_is_gone_or_inactive(
    as_admin: TestClient, db: Session, values: dict[str, Any], code: str
) -> None:
    consumer = make_user(db, **values)

    response = consume(as_admin, 30, user_id=consumer.id)

    assert_error(response, 409, code, "user_id")
    assert (entries(db), counters(db)) == ([], {})


def test_record_usage_refuses_who_is_nowhere(as_admin: TestClient, db: Session) -> None:
    response = consume(as_admin, 30, user_id=999_999)

    assert_error(response, 409, "CONSUMER_NOT_FOUND", "user_id")


def test_record_usage_needs_a_verified_address(client_of: ClientOf, db: Session) -> None:
    response = consume(client_of(make_user(db, is_verified=False)), 30)

    assert_error(response, 403, "NOT_VERIFIED")


# --- What it costs.


def test_record_usage_takes_one_statement_to_count_and_one_to_enter(
    as_user: TestClient, statements: list[str]
) -> None:
    consume(as_user, 30)
    consume(as_user, 30)

    kinds = [" ".join(one.split()[:3]) for one in statements if "BEGIN" not in one]
    counted = ["INSERT INTO usage_months", "INSERT INTO usage_events"]
    assert [kind for kind in kinds if not kind.startswith("SELECT")] == counted * 2
    assert len([kind for kind in kinds if kind.startswith("SELECT")]) == 2  # Who is asking.


def test_record_usage_writes_no_audit_beside_the_ledger(as_user: TestClient, db: Session) -> None:
    consume(as_user, 30)

    assert db.scalars(select(AuditEvent)).all() == []
