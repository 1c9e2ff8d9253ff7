from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.crud.usage import MAX_KINDS
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_usage, make_user

URL = "/api/v1/usage/"
USERS = "/api/v1/users/"
MINE = f"{USERS}me/usage"
ClientOf = Callable[[User], TestClient]


def kinds(response: Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [record["kind"] for record in response.json()]


@pytest.fixture
def ledger(db: Session, user: User) -> None:
    """Four entries of a user, a day apart."""
    entries: Iterable[tuple[str, int, str | None]] = [
        ("summary", 30, "Minutes"),
        ("chat", 5, None),
        ("Übersetzung", 200, "50% off"),
        ("chat", 700, "minutes of Tuesday"),
    ]
    now = utc_now()
    for days, (kind, tokens, note) in enumerate(entries, start=-4):
        make_usage(db, user=user, kind=kind, tokens=tokens, note=note, at=now + timedelta(days))


# --- The list.


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["summary", "chat", "Übersetzung", "chat"]),
        ("kind=chat&tokens_gt=5", ["chat"]),
        ("kind_ne=chat", ["summary", "Übersetzung"]),
        ("tokens_gte=30&tokens_lte=200", ["summary", "Übersetzung"]),
        ("q=MINUTES", ["summary", "chat"]),
        ("q=übersetz", ["Übersetzung"]),
        ("note_like=50%25", ["Übersetzung"]),
        ("sort=-tokens", ["chat", "Übersetzung", "summary", "chat"]),
        ("sort=-created_at&limit=2", ["chat", "Übersetzung"]),
        ('sort=["tokens","ASC"]&range=[1,2]', ["summary", "Übersetzung"]),
        ('filter={"kind":"chat","q":"tuesday"}', ["chat"]),
        ("_start=0&_end=1&_sort=tokens&_order=desc", ["chat"]),
    ],
)
def test_get_usage_filters_sorts_and_pages(
    as_user: TestClient, query: str, expected: list[str]
) -> None:
    assert kinds(as_user.get(f"{URL}?{query}")) == expected


@pytest.mark.usefixtures("ledger")
def test_get_usage_tells_its_place(as_user: TestClient) -> None:
    response = as_user.get(URL, params={"skip": 1, "limit": 2})

    assert response.headers["x-total-count"] == "4"
    assert response.headers["content-range"] == "usage 1-2/4"


@pytest.mark.usefixtures("ledger")
def test_get_usage_goes_on_from_a_cursor(as_user: TestClient) -> None:
    first = as_user.get(URL, params={"sort": "-created_at", "limit": 3})
    after = first.headers["x-next-cursor"]

    rest = as_user.get(URL, params={"sort": "-created_at", "limit": 3, "after": after})

    assert kinds(first) + kinds(rest) == ["chat", "Übersetzung", "chat", "summary"]


def test_get_usage_refuses_unknown_parameters(as_user: TestClient) -> None:
    response = as_user.get(URL, params={"colour": "red"})

    assert_error(response, 422, "INVALID_REQUEST", "colour")


@pytest.mark.parametrize(
    ("viewer", "seen"),
    [
        ({"role": Role.ADMIN}, {"viewer", "colleague", "cook", "drifter", "gone"}),
        ({"role": Role.AUDITOR}, {"viewer", "colleague", "cook", "drifter", "gone"}),
        ({"role": Role.MANAGER, "department": "Sales"}, {"viewer", "colleague", "gone"}),
        ({"role": Role.MANAGER, "department": None}, {"viewer"}),
        ({"role": Role.USER, "department": "Sales"}, {"viewer"}),
    ],
)
def test_get_usage_shows_what_the_viewer_may_see(
    client_of: ClientOf, db: Session, viewer: dict[str, Any], seen: set[str]
) -> None:
    people: dict[str, dict[str, Any]] = {
        "viewer": viewer,
        "colleague": {"department": "Sales"},
        "cook": {"department": "Kitchen"},
        "drifter": {"department": None},
        "gone": {"department": "Sales", "deleted_at": utc_now()},
    }
    users = {name: make_user(db, **values) for name, values in people.items()}
    events = {name: make_usage(db, user=user, kind=name) for name, user in users.items()}
    client = client_of(users["viewer"])

    response = client.get(URL)
    searches = {name for name in people if kinds(client.get(URL, params={"q": name}))}
    singles = {
        name for name, event in events.items() if client.get(f"{URL}{event.id}").status_code == 200
    }

    assert set(kinds(response)) == searches == singles == seen
    assert response.headers["x-total-count"] == str(len(seen))


def test_get_usage_takes_as_many_statements_however_long_it_is(
    as_admin: TestClient, user: User, db: Session, statements: list[str]
) -> None:
    def count(rows: int) -> int:
        for _ in range(rows):
            make_usage(db, user=user)
        statements.clear()
        as_admin.get(URL).raise_for_status()
        return len(statements)

    assert count(1) == count(20) == 2


def test_get_usage_event_out_of_sight_is_as_if_it_were_not_there(
    as_user: TestClient, db: Session
) -> None:
    event = make_usage(db, user=make_user(db))

    for one in (event.id, 999_999):
        assert_error(as_user.get(f"{URL}{one}"), 404, "USAGE_NOT_FOUND")


# --- One's own figures.


def test_get_my_usage_before_any_is_zero(as_user: TestClient) -> None:
    response = as_user.get(MINE)

    assert response.status_code == 200
    assert response.json() == {
        "month": f"{utc_now():%Y-%m}-01",
        "token_quota": 1000,
        "total_tokens_used": 0,
        "monthly_tokens_used": 0,
        "tokens_remaining": 1000,
        "monthly_by_kind": [],
    }


def test_get_my_usage_tells_the_month_from_the_whole_and_the_kinds_apart(
    client_of: ClientOf, db: Session
) -> None:
    user, other = make_user(db, token_quota=500), make_user(db)
    with time_machine.travel(datetime(2031, 3, 1, 0, 0, 1, tzinfo=UTC), tick=False):
        make_usage(db, user=user, tokens=900, at=datetime(2031, 2, 28, 23, 59, 59, tzinfo=UTC))
        make_usage(db, user=user, tokens=30, at=datetime(2031, 3, 1, tzinfo=UTC))
        make_usage(db, user=user, tokens=40, kind="chat")
        make_usage(db, user=user, tokens=50)
        make_usage(db, user=other, tokens=60)

        response = client_of(user).get(MINE)

    assert response.json() == {
        "month": "2031-03-01",
        "token_quota": 500,
        "total_tokens_used": 1020,
        "monthly_tokens_used": 120,
        "tokens_remaining": 380,
        "monthly_by_kind": [{"kind": "summary", "tokens": 80}, {"kind": "chat", "tokens": 40}],
    }


@pytest.mark.parametrize(("quota", "remaining"), [(None, None), (20, 0), (0, 0)])
def test_get_my_usage_remains_as_the_quota_says(
    client_of: ClientOf, db: Session, quota: int | None, remaining: int | None
) -> None:
    user = make_user(db, token_quota=quota)
    make_usage(db, user=user, tokens=30)

    figures = client_of(user).get(MINE).json()

    assert (figures["token_quota"], figures["tokens_remaining"]) == (quota, remaining)


def test_get_my_usage_names_the_kinds_that_took_the_most(
    as_user: TestClient, user: User, db: Session
) -> None:
    for number in range(MAX_KINDS + 1):
        make_usage(db, user=user, tokens=number + 1, kind=f"kind {number}")

    shown = as_user.get(MINE).json()["monthly_by_kind"]

    assert len(shown) == MAX_KINDS
    assert shown[0] == {"kind": f"kind {MAX_KINDS}", "tokens": MAX_KINDS + 1}
    assert {"kind": "kind 0", "tokens": 1} not in shown


# --- A user with figures.


def test_get_user_stats_shows_the_record_with_its_figures(
    as_admin: TestClient, user: User, db: Session
) -> None:
    make_usage(db, user=user, tokens=30)
    make_usage(db, user=user, tokens=700, at=utc_now() - timedelta(days=40))
    make_usage(db, user=make_user(db), tokens=5)
    make_item(db, owner=user)
    make_item(db, owner=user, deleted_at=utc_now())
    make_item(db, owner=make_user(db))

    shown = as_admin.get(f"{USERS}{user.id}/stats").json()

    assert shown == as_admin.get(f"{USERS}{user.id}").json() | {
        "total_tokens_used": 730,
        "monthly_tokens_used": 30,
        "tokens_remaining": 970,
        "item_count": 1,
    }


def test_get_user_stats_of_somebody_new_is_zero(as_user: TestClient, user: User) -> None:
    shown = as_user.get(f"{USERS}{user.id}/stats").json()

    figures = {"total_tokens_used": 0, "monthly_tokens_used": 0, "tokens_remaining": 1000}
    assert shown == shown | figures | {"item_count": 0, "last_login_at": None}


def test_get_user_stats_takes_one_statement(
    as_admin: TestClient, user: User, db: Session, statements: list[str]
) -> None:
    def count(rows: int) -> int:
        for number in range(rows):
            make_item(db, owner=user)
            make_usage(db, user=user, at=utc_now() - timedelta(days=40 * number))
        statements.clear()
        as_admin.get(f"{USERS}{user.id}/stats").raise_for_status()
        return len(statements)

    assert count(1) == count(10) == 2  # One of them tells who is asking.


def test_get_user_stats_out_of_sight_is_as_if_they_were_not_there(
    as_manager: TestClient, as_admin: TestClient, db: Session
) -> None:
    stranger = make_user(db, department="Kitchen")
    gone = make_user(db, department="Sales", deleted_at=utc_now())

    for client, user_id in ((as_manager, stranger.id), (as_admin, gone.id), (as_admin, 999_999)):
        assert_error(client.get(f"{USERS}{user_id}/stats"), 404, "USER_NOT_FOUND")
