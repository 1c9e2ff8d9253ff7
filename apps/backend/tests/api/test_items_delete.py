from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import Item, User
from tests.assertions import assert_error
from tests.factories import make_item, make_user

URL = "/api/v1/items/"


def is_present(db: Session, item: Item) -> bool:
    return db.scalar(select(Item.id).where(Item.id == item.id)) is not None


def test_delete_item_answers_nothing_and_the_item_is_gone(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)
    kept = make_item(db, owner=user)

    response = as_user.delete(f"{URL}{item.id}")

    assert response.status_code == 204
    assert response.content == b""
    assert_error(as_user.get(f"{URL}{item.id}"), 404, "ITEM_NOT_FOUND")
    listed = as_user.get(URL)
    assert [record["id"] for record in listed.json()] == [kept.id]
    assert listed.headers["x-total-count"] == "1"


def test_delete_item_keeps_the_row(as_user: TestClient, db: Session, user: User) -> None:
    item = make_item(db, owner=user, title="Desk lamp")

    as_user.delete(f"{URL}{item.id}")

    statement = select(Item).where(Item.id == item.id)
    db.expire_all()
    row = db.scalar(statement.execution_options(include_deleted=True))
    assert row is not None
    assert row.title == "Desk lamp"
    assert row.deleted_at is not None


@pytest.mark.parametrize(
    "preference",
    [
        "return=representation",
        'return="representation"',
        "Return = Representation",
        "respond-async, return=representation; note=x",
    ],
)
def test_delete_item_gives_the_record_back_where_preferred(
    as_user: TestClient, db: Session, user: User, preference: str
) -> None:
    item = make_item(db, owner=user)
    before = as_user.get(f"{URL}{item.id}").json()

    response = as_user.delete(f"{URL}{item.id}", headers={"Prefer": preference})

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["preference-applied"] == "return=representation"
    assert response.json()["id"] == before["id"]
    assert response.json()["title"] == before["title"]
    assert not is_present(db, item)


def test_delete_item_reads_preferences_from_several_lines(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)
    headers = [("Prefer", "respond-async"), ("Prefer", "return=representation")]

    response = as_user.delete(f"{URL}{item.id}", headers=headers)

    assert response.status_code == 200
    assert response.json()["id"] == item.id


@pytest.mark.parametrize("preference", ["return=minimal", "x-return=representation", "wait=5"])
def test_delete_item_answers_nothing_for_other_preferences(
    as_user: TestClient, db: Session, user: User, preference: str
) -> None:
    item = make_item(db, owner=user)

    response = as_user.delete(f"{URL}{item.id}", headers={"Prefer": preference})

    assert response.status_code == 204
    assert "preference-applied" not in response.headers


def test_delete_item_finds_nothing_the_second_time(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)
    as_user.delete(f"{URL}{item.id}")

    response = as_user.delete(f"{URL}{item.id}")

    assert_error(response, 404, "ITEM_NOT_FOUND")


def test_delete_item_answers_foreign_and_missing_ones_alike(
    as_user: TestClient, db: Session, admin: User
) -> None:
    foreign = make_item(db, owner=admin)
    deleted = make_item(db, owner=admin, deleted_at=utc_now())

    answers = [as_user.delete(f"{URL}{item_id}") for item_id in (foreign.id, deleted.id, 10**9)]

    for answer in answers:
        assert_error(answer, 404, "ITEM_NOT_FOUND")
    assert is_present(db, foreign)


def test_delete_item_is_not_for_auditors(as_auditor: TestClient, db: Session, user: User) -> None:
    item = make_item(db, owner=user)

    response = as_auditor.delete(f"{URL}{item.id}")

    assert_error(response, 403, "PERMISSION_DENIED")
    assert is_present(db, item)


def test_delete_item_lets_a_manager_delete_within_the_department(
    as_manager: TestClient, db: Session, user: User
) -> None:
    inside = make_item(db, owner=user)
    outside = make_item(db, owner=make_user(db, department="Finance"))

    statuses = [as_manager.delete(f"{URL}{item.id}").status_code for item in (inside, outside)]

    assert statuses == [204, 404]
    assert (is_present(db, inside), is_present(db, outside)) == (False, True)


def test_delete_item_needs_a_login(anonymous: TestClient, db: Session, user: User) -> None:
    item = make_item(db, owner=user)

    response = anonymous.delete(f"{URL}{item.id}")

    assert_error(response, 401, "NOT_AUTHENTICATED")
    assert is_present(db, item)


def test_delete_item_needs_a_verified_address(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    unverified = make_user(db, is_verified=False)
    item = make_item(db, owner=unverified)

    response = client_of(unverified).delete(f"{URL}{item.id}")

    assert_error(response, 403, "NOT_VERIFIED")
    assert is_present(db, item)


def test_delete_item_never_gives_an_id_twice(as_user: TestClient, db: Session, user: User) -> None:
    last = make_item(db, owner=user)
    as_user.delete(f"{URL}{last.id}")

    record = as_user.post(URL, json={"title": "Floor lamp"}).json()

    assert record["id"] > last.id
