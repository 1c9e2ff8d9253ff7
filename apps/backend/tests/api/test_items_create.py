from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import Item, User
from tests.assertions import assert_error
from tests.factories import make_user

URL = "/api/v1/items/"
PUBLIC_FIELDS = {
    "id",
    "title",
    "description",
    "status",
    "owner_id",
    "created_at",
    "updated_at",
    "version",
}


def count_items(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(Item)) or 0


def test_create_item_answers_the_record_and_its_place(as_user: TestClient, user: User) -> None:
    response = as_user.post(URL, json={"title": "Desk lamp"})

    record = response.json()
    assert response.status_code == 201
    assert record["owner_id"] == user.id
    assert record["status"] == "draft"
    assert as_user.get(response.headers["location"]).json() == record


def test_create_item_shows_the_public_fields_and_no_others(as_user: TestClient) -> None:
    response = as_user.post(URL, json={"title": "Desk lamp"})

    assert set(response.json()) == PUBLIC_FIELDS


def test_create_item_keeps_every_field_as_sent(as_user: TestClient, user: User) -> None:
    values = {
        "title": "<b>Lämp</b> 💡 '; DROP TABLE items; --",
        "description": "  two\nlines\t",
        "status": "archived",
        "owner_id": user.id,
    }

    response = as_user.post(URL, json=values)

    record = response.json()
    assert response.status_code == 201
    assert record == record | values


def test_create_item_starts_at_version_one_and_now(as_user: TestClient) -> None:
    before = utc_now()

    record = as_user.post(URL, json={"title": "Desk lamp"}).json()

    created_at = datetime.fromisoformat(record["created_at"])
    assert before <= created_at <= utc_now()
    assert record["updated_at"] == record["created_at"]
    assert record["version"] == 1


def test_create_item_answers_without_the_trailing_slash(as_user: TestClient, db: Session) -> None:
    response = as_user.post(URL.rstrip("/"), json={"title": "Desk lamp"})

    assert response.status_code == 201
    assert response.headers["location"] == f"{URL}{response.json()['id']}"
    assert count_items(db) == 1


def test_create_item_takes_a_title_twice(as_user: TestClient, db: Session) -> None:
    as_user.post(URL, json={"title": "Desk lamp"})

    response = as_user.post(URL, json={"title": "Desk lamp"})

    assert response.status_code == 201
    assert count_items(db) == 2


def test_create_item_takes_the_last_of_a_key_sent_twice(as_user: TestClient) -> None:
    body = b'{"title": "first", "title": "second"}'

    response = as_user.post(URL, content=body, headers={"Content-Type": "application/json"})

    assert response.json()["title"] == "second"


@pytest.mark.parametrize("title", ["x", "x" * 200, "💡" * 200])
def test_create_item_takes_titles_up_to_200_characters(as_user: TestClient, title: str) -> None:
    response = as_user.post(URL, json={"title": title})

    assert response.status_code == 201
    assert response.json()["title"] == title


@pytest.mark.parametrize("status", ["draft", "active", "archived"])
def test_create_item_takes_each_status(as_user: TestClient, status: str) -> None:
    response = as_user.post(URL, json={"title": "Desk lamp", "status": status})

    assert response.json()["status"] == status


def test_create_item_refuses_an_empty_title(as_user: TestClient, db: Session) -> None:
    response = as_user.post(URL, json={"title": ""})

    assert_error(response, 422, "INVALID_REQUEST", "title")
    assert count_items(db) == 0


def test_create_item_refuses_to_go_without_a_title(as_user: TestClient, db: Session) -> None:
    response = as_user.post(URL, json={"description": "Brass."})

    assert_error(response, 422, "INVALID_REQUEST", "title")
    assert count_items(db) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 201),
        ("title", None),
        ("title", 5),
        ("title", ["Desk lamp"]),
        ("title", "NUL \0"),
        ("description", 5),
        ("description", "NUL \0"),
        ("status", "gone"),
        ("status", ""),
        ("status", "DRAFT"),
        ("status", None),
        ("status", 1),
        ("owner_id", 0),
        ("owner_id", -1),
        ("owner_id", 2**53),
        ("owner_id", 2**63),
        ("owner_id", 10**30),
        ("owner_id", "1"),
        ("owner_id", True),
        ("owner_id", 1.0),
        ("id", 1),
        ("created_at", "2026-01-01T00:00:00Z"),
        ("updated_at", "2026-01-01T00:00:00Z"),
        ("version", 1),
        ("deleted_at", None),
        ("tilte", "Desk lamp"),
        ("__class__", "Item"),
    ],
)
def test_create_item_refuses_a_bad_field_by_its_name(
    as_admin: TestClient, db: Session, field: str, value: Any
) -> None:
    body = {"title": "Desk lamp", field: value}

    response = as_admin.post(URL, json=body)

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert count_items(db) == 0


def test_create_item_names_every_bad_field_at_once(as_user: TestClient) -> None:
    body = {"title": "", "status": "gone", "colour": "green"}

    response = as_user.post(URL, json=body)

    assert_error(response, 422, "INVALID_REQUEST", "title", "status", "colour")


def test_create_item_refuses_a_misspelt_parameter(as_user: TestClient, db: Session) -> None:
    response = as_user.post(URL, params={"dry_rum": "true"}, json={"title": "Desk lamp"})

    assert_error(response, 422, "INVALID_REQUEST", "dry_rum")
    assert count_items(db) == 0


def test_create_item_needs_a_login(anonymous: TestClient, db: Session) -> None:
    response = anonymous.post(URL, json={"title": "Desk lamp"})

    assert_error(response, 401, "NOT_AUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"
    assert count_items(db) == 0


def test_create_item_is_not_for_auditors(as_auditor: TestClient, db: Session) -> None:
    response = as_auditor.post(URL, json={"title": "Desk lamp"})

    assert_error(response, 403, "PERMISSION_DENIED")
    assert count_items(db) == 0


def test_create_item_needs_a_verified_address(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    unverified = make_user(db, is_verified=False)

    response = client_of(unverified).post(URL, json={"title": "Desk lamp"})

    assert_error(response, 403, "NOT_VERIFIED")
    assert count_items(db) == 0


def test_create_item_gives_no_user_items_of_others(
    as_user: TestClient, db: Session, manager: User
) -> None:
    response = as_user.post(URL, json={"title": "Desk lamp", "owner_id": manager.id})

    assert_error(response, 403, "OWNER_NOT_PERMITTED", "owner_id")
    assert count_items(db) == 0


def test_create_item_lets_an_admin_choose_any_owner(as_admin: TestClient, user: User) -> None:
    response = as_admin.post(URL, json={"title": "Desk lamp", "owner_id": user.id})

    assert response.status_code == 201
    assert response.json()["owner_id"] == user.id


def test_create_item_lets_a_manager_choose_an_owner_of_the_department(
    as_manager: TestClient, user: User
) -> None:
    response = as_manager.post(URL, json={"title": "Desk lamp", "owner_id": user.id})

    assert response.status_code == 201
    assert response.json()["owner_id"] == user.id


def test_create_item_shows_a_manager_nobody_beyond_the_department(
    as_manager: TestClient, db: Session
) -> None:
    stranger = make_user(db, department="Finance")

    beyond = as_manager.post(URL, json={"title": "Desk lamp", "owner_id": stranger.id})
    nobody = as_manager.post(URL, json={"title": "Desk lamp", "owner_id": 10**9})

    assert_error(beyond, 409, "OWNER_NOT_FOUND", "owner_id")
    assert_error(nobody, 409, "OWNER_NOT_FOUND", "owner_id")
    assert count_items(db) == 0


def test_create_item_finds_no_deleted_owner(as_admin: TestClient, db: Session) -> None:
    gone = make_user(db, deleted_at=utc_now())

    response = as_admin.post(URL, json={"title": "Desk lamp", "owner_id": gone.id})

    assert_error(response, 409, "OWNER_NOT_FOUND", "owner_id")
    assert count_items(db) == 0
