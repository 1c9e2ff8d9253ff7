from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user

URL = "/api/v1/items/"


def test_get_item_shows_the_record(as_user: TestClient, db: Session, user: User) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    item = make_item(
        db,
        owner=user,
        title="Desk lamp",
        description="Brass.",
        status="active",
        created_at=moment,
        updated_at=moment,
    )

    response = as_user.get(f"{URL}{item.id}")

    assert response.status_code == 200
    assert response.json() == {
        "id": item.id,
        "title": "Desk lamp",
        "description": "Brass.",
        "status": "active",
        "owner_id": user.id,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
        "version": 1,
    }


def test_get_item_keeps_records_out_of_shared_caches(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)

    response = as_user.get(f"{URL}{item.id}")

    assert response.headers["cache-control"] == "private, no-cache"


def test_get_item_answers_foreign_and_missing_ones_alike(
    as_user: TestClient, db: Session, admin: User
) -> None:
    foreign = make_item(db, owner=admin)
    deleted = make_item(db, owner=admin, deleted_at=utc_now())

    answers = [as_user.get(f"{URL}{item_id}") for item_id in (foreign.id, deleted.id, 10**9)]

    for answer in answers:
        assert_error(answer, 404, "ITEM_NOT_FOUND")
    assert len({answer.json()["detail"] for answer in answers}) == 1


def test_get_item_finds_no_deleted_one_of_your_own(
    as_user: TestClient, db: Session, user: User
) -> None:
    deleted = make_item(db, owner=user, deleted_at=utc_now())

    response = as_user.get(f"{URL}{deleted.id}")

    assert_error(response, 404, "ITEM_NOT_FOUND")


def test_get_item_still_shows_what_a_deleted_user_owned(as_admin: TestClient, db: Session) -> None:
    gone = make_user(db, deleted_at=utc_now())
    item = make_item(db, owner=gone)

    response = as_admin.get(f"{URL}{item.id}")

    assert response.status_code == 200
    assert response.json()["owner_id"] == gone.id


@pytest.mark.parametrize("role", [Role.ADMIN, Role.AUDITOR])
def test_get_item_shows_everything_to(
    client_of: Callable[[User], TestClient], db: Session, user: User, role: Role
) -> None:
    reader = make_user(db, role=role)
    item = make_item(db, owner=user)

    response = client_of(reader).get(f"{URL}{item.id}")

    assert response.status_code == 200


def test_get_item_shows_a_manager_their_department_alone(
    as_manager: TestClient, db: Session, user: User
) -> None:
    inside = make_item(db, owner=user)
    outside = make_item(db, owner=make_user(db, department="Finance"))
    nowhere = make_item(db, owner=make_user(db, department=None))

    statuses = [as_manager.get(f"{URL}{i.id}").status_code for i in (inside, outside, nowhere)]

    assert statuses == [200, 404, 404]


def test_get_item_shows_a_manager_without_department_only_their_own(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    manager = make_user(db, role=Role.MANAGER, department=None)
    own = make_item(db, owner=manager)
    nowhere = make_item(db, owner=make_user(db, department=None))

    statuses = [client_of(manager).get(f"{URL}{i.id}").status_code for i in (own, nowhere)]

    assert statuses == [200, 404]


def test_get_item_needs_a_login(anonymous: TestClient, db: Session, user: User) -> None:
    item = make_item(db, owner=user)

    response = anonymous.get(f"{URL}{item.id}")

    assert_error(response, 401, "NOT_AUTHENTICATED")


def test_get_item_needs_a_verified_address(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    unverified = make_user(db, is_verified=False)
    item = make_item(db, owner=unverified)

    response = client_of(unverified).get(f"{URL}{item.id}")

    assert_error(response, 403, "NOT_VERIFIED")


@pytest.mark.parametrize("item_id", ["0", "-1", str(2**53), str(2**63), str(10**30)])
def test_get_item_refuses_what_is_no_id(as_user: TestClient, item_id: str) -> None:
    response = as_user.get(f"{URL}{item_id}")

    assert_error(response, 422, "INVALID_REQUEST", "item_id")


def test_get_item_refuses_unknown_parameters(as_user: TestClient, db: Session, user: User) -> None:
    item = make_item(db, owner=user)

    response = as_user.get(f"{URL}{item.id}", params={"expand": "owner", "fields": "id"})

    assert_error(response, 422, "INVALID_REQUEST", "expand", "fields")
