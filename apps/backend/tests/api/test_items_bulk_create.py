from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import AuditEvent, Item, User
from tests.assertions import assert_error
from tests.factories import make_user
from tests.racing import at_once

URL = "/api/v1/items/bulk"


def titles(count: int) -> list[dict[str, Any]]:
    return [{"title": f"Lamp {number}"} for number in range(count)]


def count_items(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(Item)) or 0


def test_create_items_answers_the_records_in_order(as_user: TestClient, user: User) -> None:
    rows = [
        {"title": "Desk lamp", "description": "Brass", "status": "active"},
        {"title": "Oak table", "owner_id": user.id},
    ]

    response = as_user.post(URL, json={"items": rows})

    lamp, table = response.json()
    assert response.status_code == 201
    assert lamp == lamp | rows[0] | {"owner_id": user.id, "version": 1}
    assert table == table | rows[1] | {"description": None, "status": "draft"}
    assert as_user.get(f"/api/v1/items/{table['id']}").json() == table
    assert as_user.get(f"/api/v1/items/{lamp['id']}").json() == lamp


def test_create_items_answers_with_a_trailing_slash(as_user: TestClient) -> None:
    assert as_user.post(f"{URL}/", json={"items": titles(1)}).status_code == 201


def test_create_items_writes_the_audit_of_each(as_user: TestClient, db: Session) -> None:
    response = as_user.post(URL, json={"items": titles(60)})

    events = db.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert [event.resource_id for event in events] == [one["id"] for one in response.json()]
    assert events[1].changes["title"] == [None, "Lamp 1"]
    assert {event.action for event in events} == {"create"}
    assert {event.request_id for event in events} == {response.headers["x-request-id"]}


def test_create_items_gives_no_id_twice(as_admin: TestClient, user: User) -> None:
    first = as_admin.post(URL, json={"items": titles(2)}).json()
    single = as_admin.post("/api/v1/items/", json=titles(1)[0]).json()
    for one in [*first, single]:
        as_admin.delete(f"/api/v1/items/{one['id']}")

    again = as_admin.post(URL, json={"items": titles(60)}).json()

    assert min(one["id"] for one in again) > single["id"] > max(one["id"] for one in first)


def test_create_items_gives_no_user_items_of_others(
    as_user: TestClient, db: Session, admin: User
) -> None:
    rows = [*titles(1), {"title": "Theirs", "owner_id": admin.id}]

    response = as_user.post(URL, json={"items": rows})

    assert_error(response, 403, "OWNER_NOT_PERMITTED", "items.1.owner_id")
    assert count_items(db) == 0


def test_create_items_finds_owners_within_the_managers_scope(
    as_manager: TestClient, db: Session, user: User
) -> None:
    other = make_user(db, department="Home")
    gone = make_user(db, department="Sales")
    as_manager.delete(f"/api/v1/users/{gone.id}")
    ids = [user.id, other.id, gone.id, 10**9]

    response = as_manager.post(URL, json={"items": [{"title": "A", "owner_id": i} for i in ids]})

    fields = [f"items.{number}.owner_id" for number in (1, 2, 3)]
    assert_error(response, 409, "OWNER_NOT_FOUND", *fields)
    assert response.json()["detail"].startswith("3 rows are refused, and nothing was changed.")
    assert count_items(db) == 0


@pytest.mark.parametrize("rows", [[], titles(1001), None])
def test_create_items_takes_one_to_a_thousand(as_user: TestClient, rows: Any) -> None:
    assert_error(as_user.post(URL, json={"items": rows}), 422, "INVALID_REQUEST", "items")


def test_create_items_names_malformed_fields_by_row(as_user: TestClient, db: Session) -> None:
    rows = [*titles(1), {"title": "", "status": "new"}, {"colour": "red"}]

    response = as_user.post(URL, json={"items": rows})

    fields = ("items.1.title", "items.1.status", "items.2.title", "items.2.colour")
    assert_error(response, 422, "INVALID_REQUEST", *fields)
    assert count_items(db) == 0


def test_create_items_writes_a_thousand_in_a_handful_of_statements(
    as_admin: TestClient, db: Session, admin: User, statements: list[str]
) -> None:
    owners = [make_user(db).id for _ in range(20)]
    rows = [{**row, "owner_id": owners[n % 20]} for n, row in enumerate(titles(1000))]
    assert as_admin.post(URL, json={"items": rows[:10]}).status_code == 201
    few = len(statements)

    response = as_admin.post(URL, json={"items": rows})

    assert [one["title"] for one in response.json()] == [row["title"] for row in rows]
    assert len(statements) - few == few < 12


@pytest.mark.postgresql
def test_create_items_at_once_with_a_deletion_leaves_no_item_to_nobody(
    client_of: Callable[[User], TestClient], admin: User, db: Session
) -> None:
    owner = make_user(db, role=Role.USER)
    creating, deleting = client_of(admin), client_of(admin)
    rows = [{**row, "owner_id": owner.id} for row in titles(300)]

    created, deleted = at_once(
        [
            lambda: creating.post(URL, json={"items": rows}),
            lambda: deleting.delete(f"/api/v1/users/{owner.id}"),
        ]
    )

    assert deleted.status_code == 204
    assert created.status_code in {201, 409}
    assert count_items(db) == (300 if created.status_code == 201 else 0)
