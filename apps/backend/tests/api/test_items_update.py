from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user

URL = "/api/v1/items/"
BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["PATCH", "PUT"])
def method(request: pytest.FixtureRequest) -> str:
    """PUT is PATCH under another name."""
    return str(request.param)


def test_update_item_changes_the_given_fields_alone(
    as_user: TestClient, db: Session, user: User, method: str
) -> None:
    item = make_item(db, owner=user, description="Brass.", created_at=BEFORE, updated_at=BEFORE)

    response = as_user.request(method, f"{URL}{item.id}", json={"title": "Floor lamp"})

    record = response.json()
    assert response.status_code == 200
    assert record["title"] == "Floor lamp"
    assert (record["description"], record["status"]) == ("Brass.", "draft")
    assert as_user.get(f"{URL}{item.id}").json() == record


def test_update_item_counts_the_change_and_its_moment(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user, created_at=BEFORE, updated_at=BEFORE)

    record = as_user.patch(f"{URL}{item.id}", json={"title": "Floor lamp"}).json()

    assert record["version"] == 2
    assert datetime.fromisoformat(record["created_at"]) == BEFORE
    assert BEFORE < datetime.fromisoformat(record["updated_at"]) <= utc_now()


def test_update_item_changes_nothing_without_fields(
    as_user: TestClient, db: Session, user: User, method: str
) -> None:
    item = make_item(db, owner=user)
    before = as_user.get(f"{URL}{item.id}").json()

    response = as_user.request(method, f"{URL}{item.id}", json={})

    assert response.status_code == 200
    assert response.json() == before
    assert as_user.get(f"{URL}{item.id}").json() == before


def test_update_item_takes_its_own_record_back(
    as_user: TestClient, db: Session, user: User, method: str
) -> None:
    item = make_item(db, owner=user, description="Brass.")
    before = as_user.get(f"{URL}{item.id}").json()

    response = as_user.request(method, f"{URL}{item.id}", json=before)

    assert response.status_code == 200
    assert response.json() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 10**6),
        ("created_at", "1999-01-01T00:00:00Z"),
        ("updated_at", "not even a date"),
    ],
)
def test_update_item_takes_read_only_fields_without_acting_on_them(
    as_user: TestClient, db: Session, user: User, method: str, field: str, value: Any
) -> None:
    item = make_item(db, owner=user)
    before = as_user.get(f"{URL}{item.id}").json()

    response = as_user.request(method, f"{URL}{item.id}", json={field: value})

    assert response.status_code == 200
    assert response.json() == before


def test_update_item_clears_the_description_by_null(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user, description="Brass.")

    response = as_user.patch(f"{URL}{item.id}", json={"description": None})

    assert response.status_code == 200
    assert response.json()["description"] is None


@pytest.mark.parametrize("field", ["title", "status", "owner_id"])
def test_update_item_refuses_null_elsewhere(
    as_user: TestClient, db: Session, user: User, method: str, field: str
) -> None:
    item = make_item(db, owner=user)
    before = as_user.get(f"{URL}{item.id}").json()

    response = as_user.request(method, f"{URL}{item.id}", json={field: None})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert as_user.get(f"{URL}{item.id}").json() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "x" * 201),
        ("title", "NUL \0"),
        ("title", 5),
        ("description", "NUL \0"),
        ("status", "gone"),
        ("owner_id", "1"),
        ("owner_id", 2**63),
        ("deleted_at", None),
        ("colour", "green"),
    ],
)
def test_update_item_refuses_a_bad_field_by_its_name(
    as_admin: TestClient, db: Session, admin: User, field: str, value: Any
) -> None:
    item = make_item(db, owner=admin)

    response = as_admin.patch(f"{URL}{item.id}", json={"description": "Brass.", field: value})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert as_admin.get(f"{URL}{item.id}").json()["description"] is None


def test_update_item_answers_foreign_and_missing_ones_alike(
    as_user: TestClient, db: Session, admin: User, method: str
) -> None:
    foreign = make_item(db, owner=admin, title="Desk lamp")
    deleted = make_item(db, owner=admin, deleted_at=utc_now())
    change = {"title": "Mine now"}

    answers = [
        as_user.request(method, f"{URL}{item_id}", json=change)
        for item_id in (foreign.id, deleted.id, 10**9)
    ]

    for answer in answers:
        assert_error(answer, 404, "ITEM_NOT_FOUND")
    db.refresh(foreign)
    assert foreign.title == "Desk lamp"


def test_update_item_is_not_for_auditors(
    as_auditor: TestClient, db: Session, user: User, method: str
) -> None:
    item = make_item(db, owner=user, title="Desk lamp")

    response = as_auditor.request(method, f"{URL}{item.id}", json={"title": "Floor lamp"})

    assert_error(response, 403, "PERMISSION_DENIED")
    db.refresh(item)
    assert item.title == "Desk lamp"


def test_update_item_needs_a_login(anonymous: TestClient, db: Session, user: User) -> None:
    item = make_item(db, owner=user, title="Desk lamp")

    response = anonymous.patch(f"{URL}{item.id}", json={"title": "Floor lamp"})

    assert_error(response, 401, "NOT_AUTHENTICATED")
    db.refresh(item)
    assert item.title == "Desk lamp"


def test_update_item_needs_a_verified_address(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    unverified = make_user(db, is_verified=False)
    item = make_item(db, owner=unverified)

    response = client_of(unverified).patch(f"{URL}{item.id}", json={"title": "Floor lamp"})

    assert_error(response, 403, "NOT_VERIFIED")


def test_update_item_lets_nobody_give_their_items_away(
    as_user: TestClient, db: Session, user: User, admin: User, method: str
) -> None:
    item = make_item(db, owner=user, title="Desk lamp")
    change = {"title": "Yours now", "owner_id": admin.id}

    response = as_user.request(method, f"{URL}{item.id}", json=change)

    assert_error(response, 403, "OWNER_NOT_PERMITTED", "owner_id")
    db.refresh(item)
    assert (item.owner_id, item.title) == (user.id, "Desk lamp")


def test_update_item_lets_an_admin_choose_any_owner(
    as_admin: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=make_user(db))

    response = as_admin.patch(f"{URL}{item.id}", json={"owner_id": user.id})

    assert response.status_code == 200
    assert response.json()["owner_id"] == user.id


def test_update_item_keeps_a_managers_items_in_the_department(
    as_manager: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)
    colleague = make_user(db, department="Sales")
    stranger = make_user(db, department="Finance")

    inside = as_manager.patch(f"{URL}{item.id}", json={"owner_id": colleague.id})
    outside = as_manager.patch(f"{URL}{item.id}", json={"owner_id": stranger.id})

    assert inside.json()["owner_id"] == colleague.id
    assert_error(outside, 409, "OWNER_NOT_FOUND", "owner_id")
    db.refresh(item)
    assert item.owner_id == colleague.id


@pytest.mark.parametrize("owner", ["nobody", "deleted"])
def test_update_item_finds_no_owner_who_is_not_there(
    as_admin: TestClient, db: Session, user: User, owner: str
) -> None:
    item = make_item(db, owner=user)
    deleted = make_user(db, deleted_at=utc_now())
    owner_id = {"nobody": 10**9, "deleted": deleted.id}[owner]

    response = as_admin.patch(f"{URL}{item.id}", json={"owner_id": owner_id})

    assert_error(response, 409, "OWNER_NOT_FOUND", "owner_id")
    db.refresh(item)
    assert item.owner_id == user.id


def test_update_item_keeps_a_deleted_owner_that_is_sent_back(
    as_admin: TestClient, db: Session
) -> None:
    gone = make_user(db, deleted_at=utc_now())
    item = make_item(db, owner=gone)

    response = as_admin.put(f"{URL}{item.id}", json={"title": "Lamp", "owner_id": gone.id})

    assert response.status_code == 200
    assert response.json()["owner_id"] == gone.id


def test_update_item_shows_no_admin_rights_to_a_manager_elsewhere(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    manager = make_user(db, role=Role.MANAGER, department="Finance")
    item = make_item(db, owner=make_user(db, department="Sales"), title="Desk lamp")

    response = client_of(manager).patch(f"{URL}{item.id}", json={"title": "Ours now"})

    assert_error(response, 404, "ITEM_NOT_FOUND")
    db.refresh(item)
    assert item.title == "Desk lamp"
