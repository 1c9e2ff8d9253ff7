from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user

URL = "/api/v1/users/"
RECORD = {"Prefer": "return=representation"}
# Other admins who do not count: nobody could sign in as them and mend things.
NO_ADMINS: list[dict[str, Any]] = [
    {"role": Role.ADMIN, "is_active": False},
    {"role": Role.ADMIN, "deleted_at": utc_now()},
    {"role": Role.MANAGER},
]


def test_delete_user_answers_without_a_body(as_admin: TestClient, user: User) -> None:
    response = as_admin.delete(f"{URL}{user.id}")

    assert (response.status_code, response.content) == (204, b"")


def test_delete_user_takes_them_from_every_read(as_admin: TestClient, user: User) -> None:
    as_admin.delete(f"{URL}{user.id}")

    listed = as_admin.get(URL)
    assert user.id not in [record["id"] for record in listed.json()]
    assert listed.headers["x-total-count"] == "1"
    for path in (f"{user.id}", f"{user.id}/items"):
        assert_error(as_admin.get(URL + path), 404, "USER_NOT_FOUND")


def test_delete_user_keeps_the_row(as_admin: TestClient, user: User, db: Session) -> None:
    as_admin.delete(f"{URL}{user.id}")

    everyone = select(User.deleted_at).execution_options(include_deleted=True)
    assert db.scalar(everyone.where(User.id == user.id)) is not None


@pytest.mark.parametrize(
    "preference",
    [
        "return=representation",
        "Return=Representation",
        'return="representation"',
        "respond-async, return=representation",
        "return=representation; foo=bar",
    ],
)
def test_delete_user_gives_the_record_back_when_asked(
    as_admin: TestClient, user: User, preference: str
) -> None:
    record = as_admin.get(f"{URL}{user.id}").json()

    response = as_admin.delete(f"{URL}{user.id}", headers={"Prefer": preference})

    assert response.status_code == 200
    assert set(response.json()) == set(record)
    assert (response.json()["id"], response.json()["email"]) == (user.id, user.email)
    assert response.headers["preference-applied"] == "return=representation"
    assert_error(as_admin.get(f"{URL}{user.id}"), 404, "USER_NOT_FOUND")


def test_delete_user_reads_every_line_of_preferences(as_admin: TestClient, user: User) -> None:
    lines = [("Prefer", "respond-async"), ("Prefer", "return=representation")]

    response = as_admin.delete(f"{URL}{user.id}", headers=lines)

    assert response.status_code == 200


@pytest.mark.parametrize("preference", ["return=minimal", "handling=strict", ""])
def test_delete_user_gives_nothing_back_otherwise(
    as_admin: TestClient, user: User, preference: str
) -> None:
    response = as_admin.delete(f"{URL}{user.id}", headers={"Prefer": preference})

    assert (response.status_code, response.content) == (204, b"")


def test_delete_user_refuses_one_who_is_gone(as_admin: TestClient, user: User) -> None:
    as_admin.delete(f"{URL}{user.id}")

    response = as_admin.delete(f"{URL}{user.id}")

    assert_error(response, 404, "USER_NOT_FOUND")


def test_delete_user_frees_e_mail_and_user_name(as_admin: TestClient, user: User) -> None:
    values = {"email": user.email, "username": user.username}
    as_admin.delete(f"{URL}{user.id}")

    response = as_admin.post(URL, json=values)

    assert response.status_code == 201
    assert response.json()["id"] != user.id


def test_delete_user_lets_their_items_stay(as_admin: TestClient, user: User, db: Session) -> None:
    item = make_item(db, owner=user)
    before = as_admin.get(f"/api/v1/items/{item.id}").json()

    as_admin.delete(f"{URL}{user.id}")

    assert as_admin.get(f"/api/v1/items/{item.id}").json() == before
    assert as_admin.get("/api/v1/items/").json() == [before]


def test_delete_user_in_a_department_lets_its_manager_keep_the_items(
    as_manager: TestClient, user: User, db: Session
) -> None:
    item = make_item(db, owner=user)

    as_manager.delete(f"{URL}{user.id}")

    assert as_manager.get(f"/api/v1/items/{item.id}").status_code == 200


def test_delete_user_refuses_an_unknown_parameter(as_admin: TestClient, user: User) -> None:
    response = as_admin.delete(f"{URL}{user.id}?prge=true")

    assert_error(response, 422, "INVALID_REQUEST", "prge")
    assert as_admin.get(f"{URL}{user.id}").status_code == 200


@pytest.mark.parametrize("path", ["me", "{id}"])
@pytest.mark.parametrize("other", NO_ADMINS, ids=["inactive", "deleted", "manager"])
def test_delete_user_refuses_the_last_active_admin(
    as_admin: TestClient, admin: User, db: Session, path: str, other: dict[str, Any]
) -> None:
    make_user(db, **other)

    response = as_admin.delete((URL + path).format(id=admin.id), headers=RECORD)

    assert_error(response, 409, "LAST_ADMIN")
    assert as_admin.get(f"{URL}me").status_code == 200


@pytest.mark.parametrize("path", ["me", "{id}"])
def test_delete_user_takes_an_admin_while_another_stays(
    as_admin: TestClient, admin: User, db: Session, path: str
) -> None:
    make_user(db, role=Role.ADMIN)

    response = as_admin.delete((URL + path).format(id=admin.id))

    assert response.status_code == 204
    assert_error(as_admin.get(f"{URL}me"), 401, "INVALID_TOKEN")


def test_delete_user_takes_an_inactive_admin(as_admin: TestClient, db: Session) -> None:
    other = make_user(db, role=Role.ADMIN, is_active=False)

    response = as_admin.delete(f"{URL}{other.id}")

    assert response.status_code == 204


def test_delete_user_by_a_manager_takes_a_plain_user_of_their_department(
    as_manager: TestClient, user: User
) -> None:
    response = as_manager.delete(f"{URL}{user.id}")

    assert response.status_code == 204


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MANAGER, Role.AUDITOR])
def test_delete_user_by_a_manager_refuses_any_other_role(
    as_manager: TestClient, db: Session, role: Role
) -> None:
    other = make_user(db, role=role, department="Sales")

    response = as_manager.delete(f"{URL}{other.id}")

    assert_error(response, 403, "PERMISSION_DENIED")
    assert as_manager.get(f"{URL}{other.id}").status_code == 200


@pytest.mark.parametrize(
    ("own", "others"), [("Sales", "Kitchen"), ("Sales", None), (None, None), (None, "Sales")]
)
def test_delete_user_by_a_manager_refuses_another_department(
    as_manager: TestClient,
    as_admin: TestClient,
    manager: User,
    db: Session,
    own: str | None,
    others: str | None,
) -> None:
    manager.department = own
    db.commit()
    other = make_user(db, department=others)

    response = as_manager.delete(f"{URL}{other.id}")

    assert_error(response, 404, "USER_NOT_FOUND")
    assert as_admin.get(f"{URL}{other.id}").status_code == 200


def test_delete_user_is_nothing_a_plain_user_may(
    as_user: TestClient, user: User, manager: User
) -> None:
    responses = [as_user.delete(f"{URL}{each}") for each in (user.id, manager.id, 999_999)]

    for response in responses:
        assert_error(response, 403, "PERMISSION_DENIED")
    assert as_user.get(f"{URL}me").status_code == 200


def test_delete_user_is_nothing_an_auditor_may(as_auditor: TestClient, user: User) -> None:
    response = as_auditor.delete(f"{URL}{user.id}")

    assert_error(response, 403, "PERMISSION_DENIED")
    assert as_auditor.get(f"{URL}{user.id}").status_code == 200
