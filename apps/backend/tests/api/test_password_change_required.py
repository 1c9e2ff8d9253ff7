"""Who has to choose another password does that first; little else is open to them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.api.api import access_of, route_contexts
from app.core.permissions import Role
from app.main import create_app
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_login, make_user

PASSWORD = "wallpaper-on-tuesday"
NEW_PASSWORD = "curtains-on-friday"
ME = "/api/v1/users/me"
# What somebody in this state needs.
OPEN = {
    "GET /api/v1/users/me",
    "GET /api/v1/users/me/permissions",
    "POST /api/v1/users/me/password",
    "GET /api/v1/auth/sessions",
    "DELETE /api/v1/auth/sessions/{session_id}",
}
NOT_PUBLIC = {
    f"{method} {context.path}"
    for context in route_contexts(create_app())
    for method in context.methods or set()
    if access_of(context) != "public"
}


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(db, username="annlee", password=PASSWORD, must_change_password=True)


@pytest.mark.parametrize("route", sorted(NOT_PUBLIC - OPEN))
@pytest.mark.parametrize("role", [Role.ADMIN, Role.USER])
def test_password_change_required_closes_whatever_is_not_needed(
    client_of: Callable[[User], TestClient], db: Session, route: str, role: Role
) -> None:
    client = client_of(make_user(db, role=role, must_change_password=True))
    method, _, path = route.partition(" ")

    body: dict[str, Any] = {"files": {"file": b""}} if path.endswith("/import") else {"json": {}}
    response = client.request(method, re.sub(r"{\w+}", "1", path), **body)

    assert_error(response, 403, "PASSWORD_CHANGE_REQUIRED")


@pytest.mark.parametrize("role", Role)
def test_password_change_required_leaves_what_is_needed(
    client_of: Callable[[User], TestClient], db: Session, role: Role
) -> None:
    user = make_user(db, role=role, must_change_password=True)
    client, other = client_of(user), make_login(db, user=user)

    responses = [
        client.get(ME),
        client.get(f"{ME}/permissions"),
        client.get("/api/v1/auth/sessions"),
        client.delete(f"/api/v1/auth/sessions/{other.session_id}"),
        client.post("/api/v1/auth/refresh", json={"refresh_token": other.refresh_token}),
        client.post("/api/v1/auth/logout"),
    ]

    assert [response.status_code for response in responses] == [200, 200, 200, 204, 401, 204]
    assert responses[1].json() == {
        "role": role,
        "permissions": [],
        "must_change_password": True,
    }


def test_password_change_required_refreshes(anonymous: TestClient, db: Session, ann: User) -> None:
    login = make_login(db, user=ann)

    response = anonymous.post("/api/v1/auth/refresh", json={"refresh_token": login.refresh_token})

    assert response.status_code == 200


def test_password_change_required_ends_with_the_change(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    form = {"username": "annlee", "password": PASSWORD}
    login = anonymous.post("/api/v1/auth/login", data=form)
    anonymous.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
    items, profile = "/api/v1/items/", {"full_name": "Ann Lee"}
    before = [anonymous.get(items), anonymous.patch(ME, json=profile)]

    changed = anonymous.post(
        f"{ME}/password", json={"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    )

    after = [anonymous.get(items), anonymous.patch(ME, json=profile)]
    assert login.status_code == 200
    for response in before:
        assert_error(response, 403, "PASSWORD_CHANGE_REQUIRED")
    assert changed.status_code == 204
    assert [response.status_code for response in after] == [200, 200]


def test_password_change_required_takes_no_password_twice(
    client_of: Callable[[User], TestClient], ann: User
) -> None:
    client = client_of(ann)

    response = client.post(
        f"{ME}/password", json={"current_password": PASSWORD, "new_password": PASSWORD}
    )

    assert_error(response, 422, "PASSWORD_TOO_EASY", "new_password")
    assert_error(client.get("/api/v1/items/"), 403, "PASSWORD_CHANGE_REQUIRED")


def test_password_change_required_by_an_admin_acts_at_once(
    as_admin: TestClient, as_user: TestClient, user: User
) -> None:
    url = f"/api/v1/users/{user.id}"

    statuses = []
    for is_required in (False, True, False):
        as_admin.patch(url, json={"must_change_password": is_required})
        statuses.append(as_user.get("/api/v1/items/").status_code)

    assert statuses == [200, 403, 200]


def test_password_change_required_stays_when_an_admin_sets_the_password(
    anonymous: TestClient, as_admin: TestClient, db: Session, ann: User
) -> None:
    as_admin.patch(f"/api/v1/users/{ann.id}", json={"password": NEW_PASSWORD})

    db.refresh(ann)
    assert ann.must_change_password is True


def test_password_change_required_of_oneself_is_nobody_s_to_lift(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    client = client_of(make_user(db, role=Role.ADMIN))

    response = client.patch(ME, json={"must_change_password": True})

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", "must_change_password")
