from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user

URL = "/api/v1/users/"


def test_get_user_shows_the_public_record(as_admin: TestClient, db: Session) -> None:
    user = make_user(
        db,
        email="ann@example.com",
        username="annlee",
        full_name="Ann Lee",
        department="Sales",
        token_quota=None,
    )

    response = as_admin.get(f"{URL}{user.id}")

    assert response.status_code == 200
    assert response.json() == {
        "id": user.id,
        "email": "ann@example.com",
        "username": "annlee",
        "full_name": "Ann Lee",
        "department": "Sales",
        "role": "user",
        "is_active": True,
        "is_verified": True,
        "token_quota": None,
        "created_at": response.json()["created_at"],
        "updated_at": response.json()["updated_at"],
        "last_login_at": None,
        "version": 1,
    }


@pytest.mark.parametrize("field", ["created_at", "updated_at", "last_login_at"])
def test_get_user_shows_moments_in_utc(as_admin: TestClient, db: Session, field: str) -> None:
    moment = utc_now()
    user = make_user(db, created_at=moment, updated_at=moment, last_login_at=moment)

    response = as_admin.get(f"{URL}{user.id}")

    shown = datetime.fromisoformat(response.json()[field])
    assert shown == moment
    assert shown.utcoffset() == timedelta(0)


def test_get_user_shows_oneself_whatever_the_role(as_user: TestClient, user: User) -> None:
    response = as_user.get(f"{URL}{user.id}")

    assert response.status_code == 200
    assert response.json() == as_user.get(f"{URL}me").json()


@pytest.mark.parametrize("path", ["", "me", "{id}", "{id}/items"])
def test_read_users_shows_no_secret(
    client_of: Callable[[User], TestClient], db: Session, path: str
) -> None:
    user = make_user(db, role=Role.ADMIN, hashed_password="$argon2id$kept-secret")
    make_item(db, owner=user)

    response = client_of(user).get(URL + path.format(id=user.id))

    assert response.status_code == 200
    assert "secret" not in response.text
    assert "password" not in response.text


def test_get_users_lists_the_same_records(as_admin: TestClient, admin: User, user: User) -> None:
    response = as_admin.get(URL)

    assert response.json() == [as_admin.get(f"{URL}{each.id}").json() for each in (admin, user)]
    assert response.headers["x-total-count"] == "2"


@pytest.mark.parametrize("path", ["", "{id}/items/"])
def test_read_users_answers_a_collection_without_its_slash(
    as_admin: TestClient, user: User, db: Session, path: str
) -> None:
    make_item(db, owner=user)
    url = (URL + path).format(id=user.id)

    without, with_slash = (as_admin.get(place) for place in (url.rstrip("/"), url))

    assert (without.status_code, with_slash.status_code) == (200, 200)
    assert without.json() == with_slash.json()


@pytest.mark.parametrize("path", ["", "me", "me/permissions", "{id}", "{id}/items"])
def test_read_users_answers_head_as_get_without_its_body(
    as_admin: TestClient, user: User, db: Session, path: str
) -> None:
    make_item(db, owner=user)
    url = (URL + path).format(id=user.id)

    head, get = as_admin.head(url), as_admin.get(url)

    of_request = {"x-request-id"}
    assert (head.status_code, head.content) == (200, b"")
    assert {name: value for name, value in head.headers.items() if name not in of_request} == {
        name: value for name, value in get.headers.items() if name not in of_request
    }


def test_get_user_answers_head_for_an_unknown_one(as_admin: TestClient) -> None:
    response = as_admin.head(f"{URL}999999")

    assert (response.status_code, response.content) == (404, b"")


@pytest.mark.parametrize("path", ["", "me", "{id}", "{id}/items"])
def test_read_users_lets_only_the_caller_keep_the_answer(
    as_admin: TestClient, user: User, path: str
) -> None:
    response = as_admin.get((URL + path).format(id=user.id))

    assert response.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", ["999999", "999999/items", str(2**53 - 1)])
def test_get_user_refuses_an_unknown_one(as_admin: TestClient, path: str) -> None:
    response = as_admin.get(URL + path)

    assert_error(response, 404, "USER_NOT_FOUND")


@pytest.mark.parametrize("path", ["{id}", "{id}/items"])
def test_get_user_refuses_a_deleted_one(as_admin: TestClient, db: Session, path: str) -> None:
    user = make_user(db, deleted_at=utc_now())

    response = as_admin.get((URL + path).format(id=user.id))

    assert_error(response, 404, "USER_NOT_FOUND")


def test_get_users_leaves_deleted_ones_out(as_admin: TestClient, admin: User, db: Session) -> None:
    make_user(db, deleted_at=utc_now())

    response = as_admin.get(URL)

    assert [record["id"] for record in response.json()] == [admin.id]
    assert response.headers["x-total-count"] == "1"


@pytest.mark.parametrize("text", ["0", "-1", f"{2**53}", "9" * 5000])
def test_get_user_refuses_what_is_no_id(as_admin: TestClient, text: str) -> None:
    response = as_admin.get(URL + text)

    assert_error(response, 422, "INVALID_REQUEST", "user_id")


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("text", ["0", "9" * 30])
def test_user_refuses_what_is_no_id_to_every_method(
    as_admin: TestClient, method: str, text: str
) -> None:
    response = as_admin.request(method, URL + text, json={})

    assert_error(response, 422, "INVALID_REQUEST", "user_id")


@pytest.mark.parametrize("path", ["{id}", "me", "me/permissions"])
def test_get_user_refuses_an_unknown_parameter(as_user: TestClient, user: User, path: str) -> None:
    response = as_user.get((URL + path).format(id=user.id), params={"id": "1"})

    assert_error(response, 422, "INVALID_REQUEST", "id")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "", {"GET", "HEAD", "POST"}),
        ("DELETE", "", {"GET", "HEAD", "POST"}),
        ("POST", "1", {"DELETE", "GET", "HEAD", "PATCH", "PUT"}),
        ("POST", "1/items", {"GET", "HEAD"}),
        ("POST", "me/permissions", {"GET", "HEAD"}),
    ],
)
def test_users_refuse_another_method_and_name_theirs(
    as_admin: TestClient, method: str, path: str, allowed: set[str]
) -> None:
    response = as_admin.request(method, URL + path)

    assert_error(response, 405, "METHOD_NOT_ALLOWED")
    assert set(response.headers["allow"].split(", ")) == allowed


def test_get_user_ignores_a_method_in_a_header(as_admin: TestClient, user: User) -> None:
    response = as_admin.get(f"{URL}{user.id}", headers={"X-HTTP-Method-Override": "DELETE"})

    assert response.status_code == 200
    assert as_admin.get(f"{URL}{user.id}").status_code == 200
