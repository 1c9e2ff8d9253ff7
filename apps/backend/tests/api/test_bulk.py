"""What holds for every request about many records, whatever they are and whatever it does."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import AuditEvent, Item, User
from tests.assertions import assert_error
from tests.factories import make_items, make_users
from tests.rows import every_row

API = "/api/v1"
NOWHERE = 999_999
CHANGES: dict[str, dict[str, Any]] = {
    "users": {"department": "Kitchen", "token_quota": 5},
    "items": {"status": "archived", "description": "Gone with the old office."},
}
MODELS: dict[str, type[User] | type[Item]] = {"users": User, "items": Item}
NOT_FOUND = {"users": "USER_NOT_FOUND", "items": "ITEM_NOT_FOUND"}
DEEDS = [(kind, deed) for kind in MODELS for deed in ("update", "delete", "restore")]
EVERY_DEED = pytest.mark.parametrize(("kind", "deed"), DEEDS)

# Filters that would leave nothing out, or were left blank; and such that can.
BLANK: list[dict[str, Any]] = [
    *({"q": "  "}, {"q": "\u3000"}, {"q": []}, {"id_ne": []}, {"version_gte": 1}),
    *({"id_gte": 1}, {"id_gt": 0}, {"id_gt": -5}, {"id_lte": 2**53 - 1}, {"id_ne": 0}),
    *({"version_ne": [0, -1]}, {"id_gte": [5, 1]}, {"created_at_gte": "0002-01-01"}),
    *({"created_at_gte": "1970-01-01"}, {"created_at_lt": "9998-12-31"}),
    *({"updated_at_lte": "2999-01-01T00:00"}, {"created_at_ne": "0002-01-01"}),
    {"created_at_ne": "2999-01-01T00:00Z"},
]
BLANK_OF_ITEMS: list[dict[str, Any]] = [
    *({"title_ne": ""}, {"title_ne": []}, {"title_ne": ["Lamp", ""]}, {"title": ""}),
    *({"title_like": ""}, {"title_like": " \t"}, {"title_gte": ""}, {"title_gt": " "}),
    *({"status": []}, {"status_ne": []}, {"status": ["draft", "active", "archived"]}),
    *({"description_ne": None}, {"description_ne": ""}, {"description_like": ""}),
    {"q": "lamp", "title_ne": ""},
]
BLANK_OF_USERS: list[dict[str, Any]] = [
    *({"is_active": [True, False]}, {"is_active": []}, {"email_ne": ""}),
    *({"role": ["admin", "manager", "auditor", "user"]}, {"department_ne": None}),
    *({"department_ne": [None, "Sales"]}, {"full_name_like": ""}, {"email_gte": ""}),
]
NARROW_FOR_ITEMS: list[dict[str, Any]] = [
    *({"title_ne": "Lamp"}, {"status": ["draft", "active"]}, {"status_ne": "draft"}),
    *({"description": None}, {"description_null": True}, {"description_null": False}),
    *({"id_gte": 2}, {"created_at_lte": "2020-01-01"}, {"created_at_ne": "2020-01-01"}),
]
NARROW_FOR_USERS: list[dict[str, Any]] = [
    *({"token_quota_gte": 0}, {"last_login_at_gte": "1970-01-01"}, {"role": "user"}),
    *({"last_login_at_null": True}, {"department": [None, "Sales"]}),
    {"is_active": False},
]

Send = Callable[..., Any]


@pytest.fixture
def send(as_admin: TestClient) -> Send:
    def send(kind: str, deed: str, **choice: Any) -> Any:
        if deed == "update":
            body = {"changes": CHANGES[kind]} | choice
            return as_admin.patch(f"{API}/{kind}/bulk", json=body)
        return as_admin.post(f"{API}/{kind}/bulk/{deed}", json=choice)

    return send


@pytest.fixture
def make(db: Session, user: User) -> Callable[..., list[int]]:
    """Make many records that the deed may be done to."""

    def make(kind: str, deed: str, count: int, **values: Any) -> list[int]:
        ids = make_users(db, count) if kind == "users" else make_items(db, count, owner=user)
        values |= {"deleted_at": utc_now()} if deed == "restore" else {}
        if values:
            model = MODELS[kind]
            db.execute(update(model).where(model.id.in_(ids)).values(**values))
            db.expire_all()
        return ids

    return make


Make = Callable[..., list[int]]


def rows_of(db: Session, kind: str, ids: list[int]) -> list[Any]:
    model = MODELS[kind]
    db.expire_all()
    statement = select(model).where(model.id.in_(ids)).order_by(model.id)
    return list(db.scalars(statement.execution_options(include_deleted=True)))


def is_done(deed: str, row: Any, kind: str) -> bool:
    if deed == "update":
        return all(getattr(row, name) == value for name, value in CHANGES[kind].items())
    return (row.deleted_at is not None) == (deed == "delete")


# --- By ids.


@EVERY_DEED
def test_bulk_answers_with_the_records_in_the_order_of_the_ids(
    send: Send, make: Make, db: Session, kind: str, deed: str
) -> None:
    first, second, third = make(kind, deed, 3)

    response = send(kind, deed, ids=[second, third, first])

    assert response.status_code == 200, response.text
    assert [record["id"] for record in response.json()] == [second, third, first]
    assert {record["version"] for record in response.json()} == {2}
    if deed == "update":
        assert all(record == record | CHANGES[kind] for record in response.json())
    assert all(is_done(deed, row, kind) for row in rows_of(db, kind, [first, second, third]))


@EVERY_DEED
def test_bulk_leaves_others_alone(
    send: Send, make: Make, db: Session, kind: str, deed: str
) -> None:
    chosen, other = make(kind, deed, 2)

    send(kind, deed, ids=[chosen])

    (row,) = rows_of(db, kind, [other])
    assert not is_done(deed, row, kind)
    assert row.version == 1


@EVERY_DEED
def test_bulk_is_in_the_audit_field_by_field(
    send: Send, make: Make, db: Session, kind: str, deed: str
) -> None:
    ids = make(kind, deed, 3)

    response = send(kind, deed, ids=ids)

    request_id = response.headers["x-request-id"]
    statement = select(AuditEvent).where(AuditEvent.request_id == request_id)
    events = db.scalars(statement.order_by(AuditEvent.resource_id)).all()
    before = {"department": None, "token_quota": 1000, "status": "draft", "description": None}
    told = {name: [before[name], value] for name, value in CHANGES[kind].items()}
    assert [event.resource_id for event in events] == ids
    assert {(event.action, event.resource_type, event.version) for event in events} == {
        (deed, kind.removesuffix("s"), 2)
    }
    assert all(event.changes == (told if deed == "update" else {}) for event in events)
    assert {event.actor_email for event in events} == {"admin@example.com"}


@EVERY_DEED
def test_bulk_refuses_ids_of_nobody_and_changes_nothing(
    send: Send, make: Make, db: Session, kind: str, deed: str
) -> None:
    first, second = make(kind, deed, 2)
    before = every_row(db)

    response = send(kind, deed, ids=[first, NOWHERE, second, NOWHERE + 1])

    assert_error(response, 404, NOT_FOUND[kind], "ids.1", "ids.3")
    assert response.json()["detail"].startswith("2 rows are refused, and nothing was changed.")
    assert every_row(db) == before


@EVERY_DEED
def test_bulk_keeps_list_and_trash_apart(
    send: Send, make: Make, db: Session, kind: str, deed: str
) -> None:
    (fitting,) = make(kind, deed, 1)
    (other,) = make(kind, "update" if deed == "restore" else "restore", 1)
    before = every_row(db)

    by_id = send(kind, deed, ids=[fitting, other])
    unchanged = every_row(db) == before
    by_filter = send(kind, deed, filter={"id": [fitting, other]})

    if deed == "restore":
        assert_error(by_id, 409, "NOT_DELETED", "ids.1")
    else:
        assert_error(by_id, 404, NOT_FOUND[kind], "ids.1")
    assert unchanged
    assert [record["id"] for record in by_filter.json()] == [fitting]


@EVERY_DEED
def test_bulk_refuses_an_id_twice(send: Send, make: Make, kind: str, deed: str) -> None:
    first, second = make(kind, deed, 2)

    response = send(kind, deed, ids=[first, second, first, second])

    assert_error(response, 422, "INVALID_REQUEST", "ids.2", "ids.3")


@EVERY_DEED
def test_bulk_takes_a_thousand_and_no_more(
    send: Send, make: Make, db: Session, kind: str, deed: str
) -> None:
    ids = make(kind, deed, 1001)

    refused = send(kind, deed, ids=ids)
    done = send(kind, deed, ids=ids[:1000])

    assert_error(refused, 422, "TOO_MANY_ROWS", "ids")
    assert "1001" in refused.json()["detail"]
    assert len(done.json()) == 1000
    assert [is_done(deed, row, kind) for row in rows_of(db, kind, ids)] == [True] * 1000 + [False]


@pytest.mark.parametrize(
    ("choice", "blamed"),
    [
        ({}, "ids"),
        ({"ids": [1], "filter": {"id": 1}}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": None}, "ids"),
        ({"ids": 1}, "ids"),
        ({"ids": ["1"]}, "ids.0"),
        ({"ids": [1, 1.5]}, "ids.1"),
        ({"ids": [True]}, "ids.0"),
        ({"ids": [0]}, "ids.0"),
        ({"ids": [2**53]}, "ids.0"),
        ({"filter": {}}, "filter"),
        ({"filter": []}, "filter"),
        ({"filter": {"q": ""}}, "filter.q"),
        ({"filter": {"id_ne": []}}, "filter.id_ne"),
        ({"filter": {"colour": "red"}}, "filter.colour"),
        ({"filter": {"hashed_password": "x"}}, "filter.hashed_password"),
        ({"filter": {"deleted_at": None}}, "filter.deleted_at"),
        ({"filter": {"deleted": True}}, "filter.deleted"),
        ({"filter": {"limit": 1}}, "filter.limit"),
        ({"filter": {"filter": {}}}, "filter"),
        ({"filter": {"é": 1}}, "filter"),
        ({"filter": {"q": "\0"}}, "filter.q"),
        ({"filter": {"q": {"a": 1}}}, "filter.q"),
        ({"filter": {"id": ["x"]}}, "filter.id"),
        ({"filter": {"id": [[1]]}}, "filter.id"),
        ({"filter": {"created_at_gte": "yesterday"}}, "filter.created_at_gte"),
        ({"filter": {"id": 1}, "colour": 1}, "colour"),
        ({"filter": {"id_ne": ""}}, "filter.id_ne"),
        ({"filter": {"id_ne": None}}, "filter.id_ne"),
        ({"filter": {"id": None}}, "filter.id"),
        ({"filter": {"q": None}}, "filter.q"),
        ({"filter": {"created_at_gte": ""}}, "filter.created_at_gte"),
        # What would leave nothing out, or was left blank, beside a filter that does not.
        *(({"filter": {"id": 1, **one}}, f"filter.{next(iter(one))}") for one in BLANK),
    ],
)
@EVERY_DEED
def test_bulk_refuses_an_unclear_choice(
    send: Send, db: Session, kind: str, deed: str, choice: dict[str, Any], blamed: str
) -> None:
    response = send(kind, deed, **choice)

    assert_error(response, 422, "INVALID_REQUEST", blamed)


@pytest.mark.parametrize(
    ("kind", "blank", "named"),
    [
        *(("items", one, next(reversed(one))) for one in BLANK_OF_ITEMS),
        ("items", {"owner_id_gte": 1}, "owner_id_gte"),
        ("items", {"owner_id_gt": 0}, "owner_id_gt"),
        *(("users", one, next(reversed(one))) for one in BLANK_OF_USERS),
    ],
)
@pytest.mark.parametrize("deed", ["update", "delete", "restore"])
def test_bulk_refuses_a_filter_that_leaves_nothing_out(
    send: Send, make: Make, db: Session, kind: str, deed: str, blank: dict[str, Any], named: str
) -> None:
    make(kind, deed, 2)
    before = every_row(db)

    response = send(kind, deed, filter=blank)

    assert_error(response, 422, "INVALID_REQUEST", f"filter.{named}")
    assert every_row(db) == before


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        *(("items", one) for one in NARROW_FOR_ITEMS),
        *(("users", one) for one in NARROW_FOR_USERS),
    ],
)
def test_bulk_takes_a_filter_that_can_leave_something_out(
    send: Send, kind: str, wanted: dict[str, Any]
) -> None:
    response = send(kind, "update", filter=wanted | {"id": 10**9})

    assert (response.status_code, response.json()) == (200, [])


MANY = 149_999


@pytest.mark.parametrize(
    ("choice", "blamed"),
    [
        ({"ids": list(range(1, MANY))}, "ids"),
        ({"ids": ["x"] * MANY}, "ids"),
        ({"ids": [7] * MANY}, "ids"),
        *(
            ({"filter": wanted}, "filter")
            for wanted in (
                *({"id": list(range(1, MANY))}, {"id_ne": list(range(1, MANY))}),
                *({"id": ["x"] * MANY}, {"version": [None] * MANY}, {"nope": [1] * MANY}),
                *({"id": list(range(600)), "id_ne": list(range(600))}, {"q": ["a"] * 1001}),
                {f"f{number}": 1 for number in range(1001)},
            )
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
@EVERY_DEED
def test_bulk_refuses_too_many_values_briefly(
    send: Send, statements: list[str], kind: str, deed: str, choice: Any, blamed: str
) -> None:
    statements.clear()

    response = send(kind, deed, **choice)

    assert_error(response, 422, "TOO_MANY_ROWS", blamed)
    assert len(response.content) < 1000
    assert len(statements) <= 1  # The caller.


@pytest.mark.parametrize("kind", MODELS)
def test_bulk_create_refuses_too_many_rows_briefly(as_admin: TestClient, kind: str) -> None:
    rows: list[Any] = [{}, 1]
    for one in rows:
        response = as_admin.post(f"{API}/{kind}/bulk", json={"items": [one] * 100_000})

        assert_error(response, 422, "INVALID_REQUEST", "items")
        assert len(response.content) < 1000


@EVERY_DEED
def test_bulk_survives_a_deep_filter(send: Send, kind: str, deed: str) -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]

    response = send(kind, deed, filter={"q": deep})

    assert_error(response, 422, "INVALID_REQUEST", "filter.q")


# --- By filter.


@EVERY_DEED
def test_bulk_by_filter_does_what_the_list_shows(
    send: Send, make: Make, db: Session, kind: str, deed: str
) -> None:
    field = "full_name" if kind == "users" else "title"
    fitting = make(kind, deed, 2, **{field: "Brass Lamp"})
    others = make(kind, deed, 2, **{field: "Oak table"})
    (apart,) = make(kind, deed, 1, **{field: "Floor lamp"})

    response = send(kind, deed, filter={"q": "LAMP", f"{field}_ne": ["Floor lamp"]})

    assert response.status_code == 200, response.text
    assert [record["id"] for record in response.json()] == fitting
    done = [row.id for row in rows_of(db, kind, fitting + others + [apart]) if row.version == 2]
    assert done == fitting


@EVERY_DEED
def test_bulk_by_filter_may_find_nothing(send: Send, db: Session, kind: str, deed: str) -> None:
    before = every_row(db)

    by_text = send(kind, deed, filter={"q": "nobody"})
    by_no_id = send(kind, deed, filter={"id": []})

    assert (by_text.status_code, by_text.json()) == (200, [])
    assert (by_no_id.status_code, by_no_id.json()) == (200, [])
    assert every_row(db) == before


@EVERY_DEED
def test_bulk_by_filter_says_how_many_are_too_many(
    send: Send, make: Make, db: Session, kind: str, deed: str
) -> None:
    ids = make(kind, deed, 1003)

    response = send(kind, deed, filter={"id": ids})

    assert_error(response, 422, "TOO_MANY_ROWS", "filter")
    assert "1003" in response.json()["detail"]
    assert not any(is_done(deed, row, kind) for row in rows_of(db, kind, ids))


# --- A handful of statements.


@EVERY_DEED
def test_bulk_runs_as_many_statements_for_ten_as_for_a_thousand(
    send: Send, make: Make, statements: list[str], kind: str, deed: str
) -> None:
    counts = {}
    for count in (10, 1000):
        ids = make(kind, deed, count)
        statements.clear()
        response = send(kind, deed, ids=ids)
        counts[count] = len(statements)
        assert len(response.json()) == count

    assert counts[10] == counts[1000] <= 12, statements


def test_update_users_runs_as_many_statements_whatever_they_were_before(
    send: Send, make: Make, db: Session, statements: list[str]
) -> None:
    counts = {}
    for count in (10, 1000):
        ids = make("users", "update", count)
        db.execute(update(User).where(User.id.in_(ids[::2])).values(department="Kitchen"))
        statements.clear()
        send("users", "update", ids=ids)
        counts[count] = len(statements)

    assert counts[10] == counts[1000]


# --- Nothing happens twice.


@pytest.mark.parametrize("kind", MODELS)
def test_bulk_update_to_present_values_changes_nothing(
    send: Send, make: Make, db: Session, kind: str
) -> None:
    ids = make(kind, "update", 3)
    send(kind, "update", ids=ids)
    before = every_row(db)

    response = send(kind, "update", ids=ids)

    assert response.status_code == 200
    assert every_row(db) == before


@pytest.mark.parametrize("kind", MODELS)
def test_bulk_update_of_no_field_is_refused(send: Send, make: Make, kind: str) -> None:
    response = send(kind, "update", ids=make(kind, "update", 3), changes={})

    assert_error(response, 422, "INVALID_REQUEST", "changes")
    assert response.json()["detail"] == "changes: Name at least one field to change."


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("body", [b"", b"{}"], ids=["none", "empty"])
def test_bulk_names_what_its_body_lacks(as_admin: TestClient, kind: str, body: bytes) -> None:
    choice = {"ids": "Give either `ids` or `filter`."}
    required = "This field is required."
    lacking = {
        ("PATCH", ""): choice | {"changes": required},
        ("POST", "/delete"): choice,
        ("POST", "/restore"): choice,
        ("POST", ""): {"items": required},
    }
    for (method, path), texts in lacking.items():
        url, headers = f"{API}/{kind}/bulk{path}", {"Content-Type": "application/json"}
        response = as_admin.request(method, url, content=body, headers=headers)

        assert_error(response, 422, "INVALID_REQUEST", *texts)
        assert response.json()["errors"] == texts
        assert all(name in response.json()["detail"] for name in texts)
