"""Filters as panels send them: days, moments without a zone, addresses as typed, what is empty."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import AuditEvent, User
from tests.assertions import assert_error
from tests.factories import (
    make_item,
    make_letter,
    make_login_event,
    make_token,
    make_usage,
    make_user,
)
from tests.settings import client_with

API = "/api/v1"
ITEMS = f"{API}/items/"
# In UTC: the day before, the first and the last moment of the day, noon, the day after.
MOMENTS = {
    "before": datetime(2025, 10, 25, 23, 59, 59, 999999, UTC),
    "first": datetime(2025, 10, 26, tzinfo=UTC),
    "noon": datetime(2025, 10, 26, 12, tzinfo=UTC),
    "last": datetime(2025, 10, 26, 23, 59, 59, 999999, UTC),
    "after": datetime(2025, 10, 27, tzinfo=UTC),
}
OPERATORS = {
    "created_at": "first noon last",
    "created_at_ne": "before after",
    "created_at_gt": "after",
    "created_at_gte": "first noon last after",
    "created_at_lt": "before",
    "created_at_lte": "before first noon last",
}
OF_THE_DAY = pytest.mark.parametrize(("operator", "titles"), OPERATORS.items())


@pytest.fixture
def dated(db: Session, admin: User) -> None:
    for title, at in MOMENTS.items():
        make_item(db, owner=admin, title=title, created_at=at)


def titles_of(response: Any) -> str:
    assert response.status_code == 200, response.text
    return " ".join(record["title"] for record in response.json())


@OF_THE_DAY
@pytest.mark.parametrize("dialect", ["native", "simple-rest", "json-server"])
def test_list_compares_with_a_whole_day(
    as_admin: TestClient, dated: None, dialect: str, operator: str, titles: str
) -> None:
    day = "2025-10-26"
    dialects: dict[str, dict[str, Any]] = {
        "native": {operator: day},
        "simple-rest": {"filter": json.dumps({operator: day}), "range": "[0,9]"},
        "json-server": {operator: day, "_start": 0, "_end": 9},
    }

    assert titles_of(as_admin.get(ITEMS, params=dialects[dialect])) == titles


@OF_THE_DAY
def test_bulk_filter_and_export_compare_with_a_whole_day(
    as_admin: TestClient, dated: None, operator: str, titles: str
) -> None:
    exported = as_admin.get(f"{ITEMS}export", params={operator: "2025-10-26", "format": "jsonl"})
    body = {"filter": {operator: "2025-10-26"}, "changes": {"status": "active"}}
    changed = as_admin.patch(f"{ITEMS}bulk", json=body)

    assert [json.loads(line)["title"] for line in exported.text.splitlines()] == titles.split()
    assert titles_of(changed) == titles


def test_list_takes_several_days_and_moments_at_once(as_admin: TestClient, dated: None) -> None:
    several = ["2025-10-25", "2025-10-26T12:00:00Z", "2025-10-27"]

    among = as_admin.get(ITEMS, params={"created_at": several})
    none = as_admin.get(ITEMS, params={"created_at_ne": several})

    assert titles_of(among) == "before noon after"
    assert titles_of(none) == "first last"


@pytest.mark.parametrize(
    ("path", "field", "make"),
    [
        ("users/", "last_login_at", lambda db, _user, at: make_user(db, last_login_at=at).id),
        ("usage/", "created_at", lambda db, user, at: make_usage(db, user=user, at=at).id),
        ("audit/", "at", lambda db, user, at: make_login_event(db, user=user, at=at).id),
        ("letters/", "sent_at", lambda db, _user, at: make_letter(db, sent_at=at).id),
    ],
)
def test_every_list_compares_with_a_whole_day(
    as_admin: TestClient,
    db: Session,
    user: User,
    path: str,
    field: str,
    make: Callable[[Session, User, datetime], int],
) -> None:
    ids = {make(db, user, at): name for name, at in MOMENTS.items()}

    for operator in ("", "_gt", "_gte", "_lt", "_lte", "_ne"):
        asked: dict[str, Any] = {f"{field}{operator}": "2025-10-26", "id": list(ids)}
        found = [ids[record["id"]] for record in as_admin.get(f"{API}/{path}", params=asked).json()]
        assert sorted(found) == sorted(OPERATORS[f"created_at{operator}"].split())


def test_day_that_is_not_meant_keeps_what_has_no_moment(as_admin: TestClient, db: Session) -> None:
    never = make_user(db, last_login_at=None)
    asked = {"id": never.id}

    other = as_admin.get(f"{API}/users/", params=asked | {"last_login_at_ne": "2025-10-26"})
    either = {"filter": json.dumps({"last_login_at": [None, "2025-10-26"], **asked})}
    neither = {"filter": json.dumps({"last_login_at_ne": [None, "2025-10-26"], **asked})}

    assert len(other.json()) == 1
    assert len(as_admin.get(f"{API}/users/", params=either).json()) == 1
    assert as_admin.get(f"{API}/users/", params=neither).json() == []


@pytest.mark.parametrize(
    "noon",
    [
        "2025-10-26T12:00",
        "2025-10-26T12:00:00",
        "2025-10-26T12:00:00.000",
        "2025-10-26 12:00",
        "2025-10-26 12:00:00",
        "2025-10-26T12:00Z",
        "2025-10-26T14:00+02:00",
        "2025-10-26T14:00:00 02:00",
        "2025-10-26 14:00:00.0 0200",
        "2025-10-26T10:00:00-02:00",
    ],
)
def test_list_reads_a_moment_however_it_is_written(
    as_admin: TestClient, dated: None, noon: str
) -> None:
    assert titles_of(as_admin.get(ITEMS, params={"created_at": noon})) == "noon"
    assert titles_of(as_admin.get(ITEMS, params={"created_at_gt": noon})) == "last after"
    assert titles_of(as_admin.get(ITEMS, params={"created_at_lte": noon})) == "before first noon"


@pytest.mark.parametrize(
    "value", ["2025-10-26T", "2025-10-26 ", "T", "12:00", "2025-10-26T25:00", "2025-02-30T10:00"]
)
def test_list_refuses_what_is_no_moment(as_admin: TestClient, value: str) -> None:
    response = as_admin.get(ITEMS, params={"created_at_gte": value})

    if value == "2025-10-26 ":
        assert response.status_code == 200
    else:
        assert_error(response, 422, "INVALID_REQUEST", "created_at_gte")


# Clocks in Berlin were set back on 2025-10-26 at 3:00, and forward on 2025-03-30 at 2:00.
@pytest.mark.parametrize(
    ("asked", "at"),
    [
        ({"created_at": "2025-06-01T10:00"}, "2025-06-01T08:00:00Z"),
        ({"created_at": "2025-12-01T10:00"}, "2025-12-01T09:00:00Z"),
        ({"created_at": "2025-10-26T02:30"}, "2025-10-26T00:30:00Z"),
        ({"created_at": "2025-03-30T02:30"}, "2025-03-30T01:30:00Z"),
        ({"created_at": "2025-06-01T10:00Z"}, "2025-06-01T10:00:00Z"),
        ({"created_at_gte": "2025-10-26", "created_at_lte": "2025-10-26"}, "2025-10-25T22:00:00Z"),
        ({"created_at_gte": "2025-10-26", "created_at_lte": "2025-10-26"}, "2025-10-26T22:59:59Z"),
        ({"created_at": "2025-10-26"}, "2025-10-26T22:59:59.999999Z"),
        ({"created_at_gt": "2025-10-26"}, "2025-10-26T23:00:00Z"),
        ({"created_at_lt": "2025-10-26"}, "2025-10-25T21:59:59.999999Z"),
    ],
)
def test_list_reads_days_and_moments_in_the_zone_of_the_settings(
    db: Session, admin: User, asked: dict[str, str], at: str
) -> None:
    made = datetime.fromisoformat(at)
    for hours in (-48, 0, 48):
        make_item(db, owner=admin, title=f"{hours}", created_at=made + timedelta(hours=hours))

    with client_with(DEFAULT_TIME_ZONE="Europe/Berlin") as client:
        client.headers["Authorization"] = f"Bearer {make_token(db, user=admin)}"
        first = client.get(ITEMS, params=asked)
        again = client.get(ITEMS, params=asked)

    assert "0" in titles_of(first).split()
    assert first.json() == again.json()
    is_bound_above = "created_at" in asked or "created_at_lte" in asked
    assert ("48" in titles_of(first).split()) == (
        not is_bound_above and "created_at_lt" not in asked
    )


def test_setting_of_the_zone_is_heeded_at_once(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    make_item(db, owner=admin, title="late", created_at=datetime(2025, 6, 1, 22, 30, tzinfo=UTC))
    asked = {"created_at": "2025-06-01"}

    in_utc = as_admin.get(ITEMS, params=asked)
    with client_with(DEFAULT_TIME_ZONE="Europe/Berlin") as client:
        client.headers["Authorization"] = as_admin.headers["Authorization"]
        in_berlin = client.get(ITEMS, params=asked)

    assert (titles_of(in_utc), titles_of(in_berlin)) == ("late", "")


@pytest.mark.parametrize(
    "tz",
    [
        *("localtime", "Factory", "posixrules", "right/Europe/Berlin", "posix/UTC", "Berlin", ""),
        *(
            "../UTC",
            "/usr/share/zoneinfo/UTC",
            "europe/berlin",
            "Europe/",
            "Europe",
            "UTC\0",
            "+02",
        ),
        *("zone.tab", "Etc/../UTC", "Europe/Berlin "),
    ],
)
def test_timeseries_knows_the_zones_of_iana_alone(as_admin: TestClient, tz: str) -> None:
    url = f"{API}/statistics/timeseries"

    response = as_admin.get(url, params={"metric": "items", "tz": tz})

    assert_error(response, 422, "UNKNOWN_TIME_ZONE", "tz")
    for known in ("UTC", "Europe/Berlin", "Etc/GMT+5", "America/Argentina/Buenos_Aires"):
        assert as_admin.get(url, params={"metric": "items", "tz": known}).status_code == 200


def test_timeseries_without_a_zone_is_in_that_of_the_settings(db: Session, admin: User) -> None:
    with client_with(DEFAULT_TIME_ZONE="Asia/Tokyo") as client:
        client.headers["Authorization"] = f"Bearer {make_token(db, user=admin)}"
        asked = {"metric": "items", "since": "2025-10-26", "until": "2025-10-26"}
        response = client.get(f"{API}/statistics/timeseries", params=asked)

    assert response.json()["tz"] == "Asia/Tokyo"
    assert response.json()["buckets"][0]["start"] == "2025-10-25T15:00:00Z"


# --- What is stored is found by what was typed.

MUNICH = "ann@xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    ("asked", "is_found"),
    [
        ({"email": "ann@münchen.example"}, True),
        ({"email": " Ann@MÜNCHEN.example "}, True),
        ({"email_ne": "ann@münchen.example"}, False),
        ({"email_gte": "ann@münchen.example", "email_lte": "ann@münchen.example"}, True),
        ({"email_like": "@münchen.example"}, True),
        ({"email_like": "münchen.example"}, True),
        ({"email_like": "ann@MÜNCHEN.example"}, True),
        ({"email": "ann"}, False),
        ({"email": "@"}, False),
        ({"email": "ann@münchen.example\u202e"}, False),
        ({"username": "MUNICH.ann"}, True),
        ({"username": "\uff4d\uff55nich.ann "}, True),
        ({"full_name": " Ann Lee "}, True),
        ({"q": "ann@MÜNCHEN.example lee"}, True),
    ],
)
@pytest.mark.parametrize("dialect", ["native", "simple-rest", "export", "bulk"])
def test_users_are_found_by_what_was_typed(
    as_admin: TestClient, dialect: str, asked: dict[str, str], is_found: bool
) -> None:
    made = {"email": "ann@münchen.example", "username": "munich.ann", "full_name": "Ann Lee"}
    ann = as_admin.post(f"{API}/users/", json=made).json()
    assert ann["email"] == MUNICH
    asked = asked | {"id": ann["id"]}

    url = f"{API}/users/"
    if dialect == "native":
        found = as_admin.get(url, params=asked).json()
    elif dialect == "simple-rest":
        found = as_admin.get(url, params={"filter": json.dumps(asked)}).json()
    elif dialect == "export":
        found = as_admin.get(f"{url}export", params=asked | {"format": "jsonl"}).text.splitlines()
    else:
        body = {"filter": asked, "changes": {"department": "Sales"}}
        found = as_admin.patch(f"{url}bulk", json=body).json()

    assert len(found) == is_found


def test_letters_and_audit_are_found_by_the_address_that_was_typed(
    as_admin: TestClient, db: Session
) -> None:
    make_letter(db, recipient=MUNICH)
    user = make_user(db, email=MUNICH, role=Role.ADMIN)
    make_login_event(db, user=user, at=datetime(2025, 6, 1, tzinfo=UTC))
    db.execute(update(AuditEvent).values(actor_email=MUNICH))

    letters = as_admin.get(f"{API}/letters/", params={"recipient": " Ann@münchen.example"})
    events = as_admin.get(f"{API}/audit/", params={"actor_email": "ann@MÜNCHEN.example"})

    assert [one["recipient"] for one in letters.json()] == [MUNICH]
    assert [one["actor_email"] for one in events.json()] == [MUNICH]


# --- What is empty.


@pytest.mark.parametrize(
    ("path", "field"),
    [
        *(("users/", name) for name in ("full_name", "department", "token_quota", "last_login_at")),
        ("items/", "description"),
        *(("usage/", name) for name in ("note", "recorded_by")),
        *(("audit/", name) for name in ("actor_id", "actor_email", "request_id", "ip")),
        *(("letters/", name) for name in ("sent_at", "last_error")),
    ],
)
def test_lists_are_asked_for_what_is_empty(
    as_admin: TestClient, db: Session, user: User, path: str, field: str
) -> None:
    as_admin.post(f"{API}/items/", json={"title": "Lamp"})
    as_admin.post(f"{API}/items/", json={"title": "Desk", "description": "Oak"})
    make_user(
        db, full_name="Ann", department="Sales", token_quota=None, last_login_at=MOMENTS["noon"]
    )
    make_usage(db, user=user, note="Minutes", recorded_by=user.id)
    make_usage(db, user=user)
    make_letter(db)
    make_letter(db, sent_at=MOMENTS["noon"], last_error="Full")
    make_login_event(db, user=user, at=MOMENTS["noon"])
    url, simple_rest = f"{API}/{path}", f'{{"{field}_null": %s}}'
    everything = as_admin.get(url, params={"limit": 1000}).json()
    ids = {record["id"]: record[field] is None for record in everything}

    for is_null, word in ((True, "true"), (False, "false")):
        native = as_admin.get(url, params={f"{field}_null": word})
        translated = as_admin.get(url, params={"filter": simple_rest % word, "range": "[0,99]"})
        json_server = as_admin.get(url, params={f"{field}_null": word, "_start": 0, "_end": 99})
        for response in (native, translated, json_server):
            assert {record["id"] for record in response.json()} == {
                one for one, is_empty in ids.items() if is_empty == is_null
            }


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("users/", "department_null", "maybe"),
        ("users/", "department_null", ""),
        ("users/", "department_null", ["true", "false"]),
        ("users/", "email_null", "true"),
        ("users/", "id_null", "false"),
        ("users/", "is_active_null", "true"),
        ("items/", "title_null", "true"),
        ("items/", "owner_id_null", "true"),
        ("audit/", "action_null", "true"),
    ],
)
def test_lists_refuse_what_cannot_be_empty(
    as_admin: TestClient, path: str, parameter: str, value: Any
) -> None:
    response = as_admin.get(f"{API}/{path}", params={parameter: value})

    assert_error(response, 422, "INVALID_REQUEST", parameter)


def test_document_names_the_filter_of_what_is_empty(anonymous: TestClient) -> None:
    document = anonymous.get(f"{API}/openapi.json").json()

    parameters = {
        one["name"]: one for one in document["paths"][f"{API}/users"]["get"]["parameters"]
    }

    assert parameters["department_null"]["schema"] == {"type": "boolean"}
    assert "email_null" not in parameters
