"""Figures: how many there are, and how they went over time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_login_event, make_usage, make_user

OVERVIEW = "/api/v1/statistics/overview"
TIMESERIES = "/api/v1/statistics/timeseries"
BERLIN = ZoneInfo("Europe/Berlin")


def series(client: TestClient, **asked: str) -> Response:
    response = client.get(TIMESERIES, params={"metric": "items"} | asked)
    assert response.status_code == 200, response.text
    return response


def values(response: Response) -> dict[str, int]:
    """Return the buckets in which something happened, by their day."""
    return {one["day"]: one["value"] for one in response.json()["buckets"] if one["value"]}


def starts(response: Response) -> list[datetime]:
    return [datetime.fromisoformat(one["start"]) for one in response.json()["buckets"]]


# --- The overview


def test_get_overview_counts_users_and_items(as_admin: TestClient, db: Session) -> None:
    make_user(db, role=Role.MANAGER, department="Sales")
    cook = make_user(db, department="Kitchen", is_active=False)
    make_user(db, department="Sales", is_verified=False)
    make_item(db, owner=cook, status="active")
    make_item(db, owner=cook, status="active")
    make_item(db, owner=cook, status="archived")

    response = as_admin.get(OVERVIEW)

    assert response.status_code == 200
    assert response.json() == {
        "counted_at": response.json()["counted_at"],
        "users": {
            "total": 4,
            "active": 3,
            "inactive": 1,
            "verified": 3,
            "unverified": 1,
            "by_role": {"admin": 1, "manager": 1, "auditor": 0, "user": 2},
            "by_department": [
                {"department": "Kitchen", "users": 1},
                {"department": "Sales", "users": 2},
                {"department": None, "users": 1},
            ],
        },
        "items": {"total": 3, "by_status": {"draft": 0, "active": 2, "archived": 1}},
    }


def test_get_overview_passes_deleted_rows_by(as_admin: TestClient, db: Session) -> None:
    leaver = make_user(db, department="Sales", deleted_at=utc_now())
    make_item(db, owner=leaver)
    make_item(db, owner=leaver, deleted_at=utc_now())

    body = as_admin.get(OVERVIEW).json()

    assert body["users"]["total"] == 1
    assert body["users"]["by_department"] == [{"department": None, "users": 1}]
    assert body["items"]["total"] == 1  # The items of who left stay.


def test_get_overview_shows_a_plain_user_their_own(
    as_user: TestClient, user: User, db: Session
) -> None:
    make_item(db, owner=user)
    make_item(db, owner=make_user(db, department=user.department))

    body = as_user.get(OVERVIEW).json()

    assert body["users"]["by_role"] == {"admin": 0, "manager": 0, "auditor": 0, "user": 1}
    assert body["items"]["total"] == 1


def test_get_overview_takes_three_statements(as_admin: TestClient, statements: list[str]) -> None:
    as_admin.get(OVERVIEW)

    assert len(statements) == 3  # The caller, users, items.


def test_get_overview_may_be_kept_by_nobody_else(as_admin: TestClient) -> None:
    for url in (OVERVIEW, f"{TIMESERIES}?metric=items"):
        assert as_admin.get(url).headers["cache-control"] == "private, no-cache"


def test_get_overview_takes_no_parameters(as_admin: TestClient) -> None:
    response = as_admin.get(OVERVIEW, params={"department": "Sales"})

    assert_error(response, 422, "INVALID_REQUEST", "department")


# --- What a series counts


def test_get_timeseries_counts_each_metric(as_admin: TestClient, admin: User, db: Session) -> None:
    at = datetime(2026, 3, 10, 12, tzinfo=UTC)
    ann = make_user(db, created_at=at)
    make_item(db, owner=ann, created_at=at)
    make_item(db, owner=ann, created_at=at + timedelta(days=1))
    for days in (0, 0, 2):
        make_login_event(db, user=ann, at=at + timedelta(days=days))
    make_usage(db, user=ann, tokens=30, at=at)
    make_usage(db, user=admin, tokens=12, at=at)

    counted = {
        metric: values(series(as_admin, metric=metric, since="2026-03-09", until="2026-03-13"))
        for metric in ("signups", "items", "logins", "tokens")
    }

    assert counted == {
        "signups": {"2026-03-10": 1},
        "items": {"2026-03-10": 1, "2026-03-11": 1},
        "logins": {"2026-03-10": 2, "2026-03-12": 1},
        "tokens": {"2026-03-10": 42},
    }


def test_get_timeseries_counts_a_login_that_was_made(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    make_user(db, email="ann@example.com", password="wallpaper-on-tuesday")
    form = {"username": "ann@example.com", "password": "wallpaper-on-tuesday"}
    assert anonymous.post("/api/v1/auth/login", data=form).status_code == 200
    assert anonymous.post("/api/v1/auth/login", data=form | {"password": "x"}).status_code == 401

    response = series(as_admin, metric="logins")

    assert response.json()["total"] == 1


def test_get_timeseries_fills_what_is_empty_with_zeros(as_admin: TestClient) -> None:
    response = series(as_admin, since="2026-03-09", until="2026-03-11")

    assert response.json() == {
        "metric": "items",
        "interval": "day",
        "tz": "UTC",
        "counted_at": response.json()["counted_at"],
        "total": 0,
        "buckets": [
            {"start": "2026-03-09T00:00:00Z", "day": "2026-03-09", "value": 0},
            {"start": "2026-03-10T00:00:00Z", "day": "2026-03-10", "value": 0},
            {"start": "2026-03-11T00:00:00Z", "day": "2026-03-11", "value": 0},
        ],
    }


def test_get_timeseries_passes_deleted_rows_by(
    as_admin: TestClient, admin: User, db: Session
) -> None:
    leaver = make_user(db, deleted_at=utc_now())
    make_login_event(db, user=leaver, at=utc_now())
    make_usage(db, user=leaver, tokens=30)
    make_item(db, owner=admin, deleted_at=utc_now())

    totals = {
        metric: series(as_admin, metric=metric).json()["total"]
        for metric in ("signups", "items", "logins", "tokens")
    }

    # The admin who asks signed up; what was consumed stays in the ledger.
    assert totals == {"signups": 1, "items": 0, "logins": 0, "tokens": 30}


def test_get_timeseries_takes_two_statements_whatever_its_length(
    as_admin: TestClient, statements: list[str]
) -> None:
    series(as_admin, since="2026-01-01", until="2026-12-31")

    assert len(statements) == 2  # The caller, and the figures.


# --- Where buckets start and end


@pytest.mark.parametrize(
    ("interval", "since", "until", "days"),
    [
        ("day", "2028-02-28", "2028-03-01", ["2028-02-28", "2028-02-29", "2028-03-01"]),
        ("week", "2026-03-04", "2026-03-16", ["2026-03-02", "2026-03-09", "2026-03-16"]),
        ("week", "2026-03-02", "2026-03-08", ["2026-03-02"]),
        ("month", "2026-01-31", "2026-03-01", ["2026-01-01", "2026-02-01", "2026-03-01"]),
        ("month", "2025-12-31", "2026-01-01", ["2025-12-01", "2026-01-01"]),
    ],
)
def test_get_timeseries_has_whole_buckets(
    as_admin: TestClient, interval: str, since: str, until: str, days: list[str]
) -> None:
    response = series(as_admin, interval=interval, since=since, until=until)

    assert [one["day"] for one in response.json()["buckets"]] == days


@pytest.mark.parametrize("interval", ["day", "week", "month"])
@pytest.mark.parametrize("tz", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
def test_get_timeseries_starts_a_bucket_with_its_first_moment(
    as_admin: TestClient, admin: User, db: Session, interval: str, tz: str
) -> None:
    asked = {"interval": interval, "tz": tz, "since": "2026-03-01", "until": "2026-05-31"}
    bounds = starts(series(as_admin, **asked))
    for bound in bounds[1:]:
        make_item(db, owner=admin, created_at=bound)
        make_item(db, owner=admin, created_at=bound - timedelta(microseconds=1))

    response = series(as_admin, **asked)

    assert bounds == sorted(bounds)
    assert all(bound.astimezone(ZoneInfo(tz)).hour == 0 for bound in bounds)
    between = [2] * (len(bounds) - 2)
    assert [one["value"] for one in response.json()["buckets"]] == [1, *between, 1]


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)]
)
def test_get_timeseries_knows_days_on_which_clocks_change(
    as_admin: TestClient, admin: User, db: Session, day: str, hours: int
) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=BERLIN).astimezone(UTC)
    for hour in range(-1, 26):
        make_item(db, owner=admin, created_at=midnight + timedelta(hours=hour, minutes=30))

    response = series(as_admin, tz="Europe/Berlin", since=day, until=day)

    assert starts(response) == [midnight]
    assert values(response) == {day: hours}


@pytest.mark.parametrize(
    ("tz", "since", "until", "expected"),
    [
        # Midnight is skipped: the day starts at one o'clock.
        ("Africa/Cairo", "2026-04-23", "2026-04-25", [(23, 22), (24, 22), (25, 21)]),
        # Midnight comes twice: the day starts with the first.
        ("America/Havana", "2026-10-31", "2026-11-02", [(31, 4), (1, 4), (2, 5)]),
        # Samoa moved over the date line: the 30th never was.
        ("Pacific/Apia", "2011-12-29", "2011-12-31", [(29, 10), (31, 10)]),
    ],
)
def test_get_timeseries_knows_midnights_that_are_none(
    as_admin: TestClient, tz: str, since: str, until: str, expected: list[tuple[int, int]]
) -> None:
    response = series(as_admin, tz=tz, since=since, until=until)

    buckets = response.json()["buckets"]
    found = [
        (int(one["day"][-2:]), moment.hour)
        for one, moment in zip(buckets, starts(response), strict=True)
    ]
    assert found == expected
    assert starts(response) == sorted(set(starts(response)))


@pytest.mark.parametrize(
    ("interval", "tz", "first", "last", "number"),
    [
        ("day", "UTC", "2026-02-09", "2026-03-10", 30),
        ("day", "Europe/Berlin", "2026-02-10", "2026-03-11", 30),
        ("week", "UTC", "2025-12-22", "2026-03-09", 12),
        ("month", "UTC", "2025-04-01", "2026-03-01", 12),
    ],
)
def test_get_timeseries_ends_today_where_nothing_else_is_asked(
    client_of: Callable[[User], TestClient],
    admin: User,
    interval: str,
    tz: str,
    first: str,
    last: str,
    number: int,
) -> None:
    with time_machine.travel("2026-03-10T23:30:00Z", tick=False):
        response = series(client_of(admin), interval=interval, tz=tz)

    days = [one["day"] for one in response.json()["buckets"]]
    assert (days[0], days[-1], len(days)) == (first, last, number)


# --- What is refused


@pytest.mark.parametrize(
    ("asked", "code", "parameter"),
    [
        ({"metric": "signup"}, "INVALID_REQUEST", "metric"),
        ({"metric": ""}, "INVALID_REQUEST", "metric"),
        ({"interval": "hour"}, "INVALID_REQUEST", "interval"),
        ({"tz": "Europe/Atlantis"}, "UNKNOWN_TIME_ZONE", "tz"),
        ({"tz": "europe/berlin"}, "UNKNOWN_TIME_ZONE", "tz"),
        ({"tz": "Europe"}, "UNKNOWN_TIME_ZONE", "tz"),
        ({"tz": "../etc/passwd"}, "UNKNOWN_TIME_ZONE", "tz"),
        ({"tz": "/etc/localtime"}, "UNKNOWN_TIME_ZONE", "tz"),
        ({"tz": "UTC\0"}, "UNKNOWN_TIME_ZONE", "tz"),
        ({"tz": ""}, "UNKNOWN_TIME_ZONE", "tz"),
        ({"tz": "x" * 65}, "INVALID_REQUEST", "tz"),
        ({"since": "yesterday"}, "INVALID_REQUEST", "since"),
        ({"since": "2026-02-30"}, "INVALID_REQUEST", "since"),
        ({"since": "1767225600"}, "INVALID_REQUEST", "since"),
        ({"until": "2026-01-01T00:00:00Z"}, "INVALID_REQUEST", "until"),
        ({"until": "9999-12-31"}, "INVALID_REQUEST", "until"),
        ({"since": "0001-01-01"}, "INVALID_REQUEST", "since"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "RANGE_REVERSED", "since"),
        ({"since": "9000-01-01"}, "RANGE_REVERSED", "since"),
        ({"since": "2025-01-01", "until": "2026-02-05"}, "RANGE_TOO_LONG", "since"),
        ({"since": "0002-01-01", "interval": "month"}, "RANGE_TOO_LONG", "since"),
        ({"from": "2026-01-01"}, "INVALID_REQUEST", "from"),
    ],
)
def test_get_timeseries_refuses_and_names_the_parameter(
    as_admin: TestClient, asked: dict[str, str], code: str, parameter: str
) -> None:
    response = as_admin.get(TIMESERIES, params={"metric": "items"} | asked)

    assert_error(response, 422, code, parameter)


def test_get_timeseries_refuses_no_metric(as_admin: TestClient) -> None:
    assert_error(as_admin.get(TIMESERIES), 422, "INVALID_REQUEST", "metric")


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "2025-01-01", "until": "2026-02-04"},  # 400 days.
        {"until": "0002-01-01", "interval": "month", "tz": "Pacific/Kiritimati"},
        {"since": "9998-12-31", "until": "9998-12-31", "tz": "Pacific/Pago_Pago"},
    ],
)
def test_get_timeseries_takes_what_is_just_within_bounds(
    as_admin: TestClient, asked: dict[str, str]
) -> None:
    assert series(as_admin, **asked).json()["total"] == 0
