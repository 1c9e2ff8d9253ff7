"""What was deleted comes back as it was, unless somebody has taken its place."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user
from tests.racing import Call, at_once, statuses

USERS = "/api/v1/users/"
ITEMS = "/api/v1/items/"
PASSWORD = "wallpaper-on-tuesday"


def changing(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ("updated_at", "version")}


# --- Items.


def test_restore_item_brings_it_back_as_it_was(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user, title="Lamp", description="Brass")
    before = as_user.get(f"{ITEMS}{item.id}").json()
    as_user.delete(f"{ITEMS}{item.id}")

    response = as_user.post(f"{ITEMS}{item.id}/restore")

    restored = response.json()
    assert response.status_code == 200
    assert restored == before | changing(restored)
    assert restored["version"] == before["version"] + 2
    assert as_user.get(f"{ITEMS}{item.id}").json() == restored
    assert as_user.get(f"{ITEMS}?deleted=true").json() == []


def test_restore_item_is_in_the_audit(as_admin: TestClient, db: Session, admin: User) -> None:
    item = make_item(db, owner=admin, deleted_at=utc_now())

    as_admin.post(f"{ITEMS}{item.id}/restore")

    (event,) = as_admin.get(f"/api/v1/audit/?resource_type=item&resource_id={item.id}").json()
    assert (event["action"], event["actor_id"]) == ("restore", admin.id)


def test_restore_item_refuses_one_that_is_not_deleted(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)

    response = as_user.post(f"{ITEMS}{item.id}/restore")

    assert_error(response, 409, "NOT_DELETED")
    assert as_user.get(f"{ITEMS}{item.id}").json()["version"] == 1


def test_restore_item_answers_foreign_and_missing_ones_alike(
    as_user: TestClient, as_admin: TestClient, db: Session, admin: User
) -> None:
    foreign = make_item(db, owner=admin, deleted_at=utc_now())

    for item_id in (foreign.id, 10**9):
        assert_error(as_user.post(f"{ITEMS}{item_id}/restore"), 404, "ITEM_NOT_FOUND")
    assert [record["id"] for record in as_admin.get(f"{ITEMS}?deleted=true").json()] == [foreign.id]


def test_restore_item_is_nothing_an_auditor_may(
    as_auditor: TestClient, db: Session, auditor: User
) -> None:
    item = make_item(db, owner=auditor, deleted_at=utc_now())

    assert_error(as_auditor.post(f"{ITEMS}{item.id}/restore"), 403, "PERMISSION_DENIED")


def test_restore_item_of_a_deleted_user_lets_them_keep_it(
    as_admin: TestClient, db: Session
) -> None:
    owner = make_user(db, deleted_at=utc_now())
    item = make_item(db, owner=owner, deleted_at=utc_now())

    response = as_admin.post(f"{ITEMS}{item.id}/restore")

    assert (response.status_code, response.json()["owner_id"]) == (200, owner.id)


def test_restore_item_refuses_unknown_parameters(as_admin: TestClient) -> None:
    assert_error(as_admin.post(f"{ITEMS}1/restore?dry=true"), 422, "INVALID_REQUEST", "dry")


def test_restore_item_at_once_does_it_once(
    client_of: Callable[[User], TestClient], db: Session, admin: User
) -> None:
    item = make_item(db, owner=admin, deleted_at=utc_now())

    def restore() -> Call:
        client = client_of(admin)
        return lambda: client.post(f"{ITEMS}{item.id}/restore")

    responses = at_once([restore() for _ in range(8)])

    assert statuses(responses) == {200: 1, 409: 7}


# --- Users.


def test_restore_user_brings_them_back_as_they_were(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    user = make_user(db, full_name="Ann Lee", department="Sales", password=PASSWORD)
    before = as_admin.get(f"{USERS}{user.id}").json()
    as_admin.delete(f"{USERS}{user.id}")

    response = as_admin.post(f"{USERS}{user.id}/restore")

    restored = response.json()
    assert response.status_code == 200
    assert restored == before | changing(restored)
    assert as_admin.get(f"{USERS}{user.id}").json() == restored
    form = {"username": user.email, "password": PASSWORD}
    assert anonymous.post("/api/v1/auth/login", data=form).status_code == 200


def test_restore_user_revives_no_session(
    as_admin: TestClient, client_of: Callable[[User], TestClient], user: User
) -> None:
    theirs = client_of(user)
    as_admin.delete(f"{USERS}{user.id}")

    as_admin.post(f"{USERS}{user.id}/restore")

    assert_error(theirs.get(f"{USERS}me"), 401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    ("taken", "code"),
    [
        ({"email": "ANN@example.com"}, "EMAIL_TAKEN"),
        ({"email": "other@example.com", "username": "Ann.Lee"}, "USERNAME_TAKEN"),
    ],
)
def test_restore_user_refuses_values_taken_meanwhile(
    as_admin: TestClient, db: Session, taken: dict[str, str], code: str
) -> None:
    user = make_user(db, email="ann@example.com", username="ann.lee")
    as_admin.delete(f"{USERS}{user.id}")
    heir = as_admin.post(USERS, json=taken).json()

    response = as_admin.post(f"{USERS}{user.id}/restore")

    assert_error(response, 409, code)  # The client has sent no field that could be blamed.
    assert_error(as_admin.get(f"{USERS}{user.id}"), 404, "USER_NOT_FOUND")
    as_admin.delete(f"{USERS}{heir['id']}")
    assert as_admin.post(f"{USERS}{user.id}/restore").status_code == 200


def test_restore_user_refuses_one_who_is_not_deleted(as_admin: TestClient, user: User) -> None:
    assert_error(as_admin.post(f"{USERS}{user.id}/restore"), 409, "NOT_DELETED")


def test_restore_user_by_a_manager_takes_plain_users_of_their_department(
    as_manager: TestClient, db: Session
) -> None:
    department: dict[str, Any] = {"department": "Sales", "deleted_at": utc_now()}
    plain, chief = make_user(db, **department), make_user(db, role=Role.MANAGER, **department)
    stranger = make_user(db, department="Kitchen", deleted_at=utc_now())

    answers = [as_manager.post(f"{USERS}{one.id}/restore") for one in (plain, chief, stranger)]

    assert answers[0].status_code == 200
    assert_error(answers[1], 403, "PERMISSION_DENIED")
    assert_error(answers[2], 404, "USER_NOT_FOUND")


@pytest.mark.parametrize("caller", ["as_user", "as_auditor"])
def test_restore_user_is_not_for_who_may_not_delete(
    request: pytest.FixtureRequest, db: Session, caller: str
) -> None:
    gone = make_user(db, deleted_at=utc_now())
    client: TestClient = request.getfixturevalue(caller)

    assert_error(client.post(f"{USERS}{gone.id}/restore"), 403, "PERMISSION_DENIED")


def test_restore_user_at_once_gives_an_e_mail_to_one(
    client_of: Callable[[User], TestClient], db: Session, admin: User
) -> None:
    """Four who had the same address, one after the other, and four who would like to."""
    gone = [
        make_user(db, email="ann@example.com", username=f"ann{n}", deleted_at=utc_now())
        for n in range(4)
    ]

    def restore(user: User) -> Call:
        client = client_of(admin)
        return lambda: client.post(f"{USERS}{user.id}/restore")

    def create(number: int) -> Call:
        client, body = client_of(admin), {"email": "ann@example.com", "username": f"new{number}"}
        return lambda: client.post(USERS, json=body)

    responses = at_once([*map(restore, gone), *map(create, range(4))])

    refused = {one.json()["error"] for one in responses if not one.is_success}
    assert sorted(statuses(responses).values()) == [1, 7]
    assert refused == {"EMAIL_TAKEN"}
