"""Requests that arrive at once, each from a thread and a client of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import User
from tests.factories import make_user
from tests.racing import Call, at_once, statuses

URL = "/api/v1/users/"
ClientOf = Callable[[User], TestClient]
Takedown = Callable[[TestClient, User, User], Response]

# How an admin may take an admin down: client of the first, the first, the second.
TAKEDOWNS: dict[str, Takedown] = {
    "demote each other": lambda client, _, other: client.patch(
        f"{URL}{other.id}", json={"role": "user"}
    ),
    "deactivate each other": lambda client, _, other: client.patch(
        f"{URL}{other.id}", json={"is_active": False}
    ),
    "delete each other": lambda client, _, other: client.delete(f"{URL}{other.id}"),
    "delete themselves": lambda client, _, __: client.delete(f"{URL}me"),
    "delete themselves by id": lambda client, own, _: client.delete(f"{URL}{own.id}"),
}


def creations(client_of: ClientOf, admin: User, bodies: Sequence[dict[str, Any]]) -> list[Call]:
    def creation(body: dict[str, Any]) -> Call:
        client = client_of(admin)
        return lambda: client.post(URL, json=body)

    return [creation(body) for body in bodies]


def count_users(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(User)) or 0


def count_active_admins(db: Session) -> int:
    statement = select(func.count()).where(User.role == Role.ADMIN, User.is_active)
    return db.scalar(statement) or 0


def test_create_user_at_once_gives_an_e_mail_to_one(
    client_of: ClientOf, admin: User, db: Session
) -> None:
    emails = ["ann@example.com", "Ann@Example.com"] * 5
    bodies = [{"email": email, "username": f"ann-{n}"} for n, email in enumerate(emails)]

    responses = at_once(creations(client_of, admin, bodies))

    errors = {response.json()["error"] for response in responses if response.status_code == 409}
    assert statuses(responses) == {201: 1, 409: 9}
    assert errors == {"EMAIL_TAKEN"}
    assert count_users(db) == 2


def test_create_user_at_once_gives_an_e_mail_to_one_whatever_name_is_made(
    client_of: ClientOf, admin: User, db: Session
) -> None:
    responses = at_once(creations(client_of, admin, [{"email": "ann@example.com"}] * 10))

    errors = {response.json()["error"] for response in responses if response.status_code == 409}
    assert statuses(responses) == {201: 1, 409: 9}
    assert errors == {"EMAIL_TAKEN"}
    assert count_users(db) == 2


def test_create_user_at_once_gives_a_user_name_to_one(
    client_of: ClientOf, admin: User, db: Session
) -> None:
    bodies = [{"email": f"ann@{n}.example", "username": "annlee"} for n in range(10)]

    responses = at_once(creations(client_of, admin, bodies))

    errors = {response.json()["error"] for response in responses if response.status_code == 409}
    assert statuses(responses) == {201: 1, 409: 9}
    assert errors == {"USERNAME_TAKEN"}
    assert count_users(db) == 2


def test_create_user_at_once_makes_as_many_user_names(client_of: ClientOf, admin: User) -> None:
    bodies = [{"email": f"ann@{n}.example"} for n in range(10)]

    responses = at_once(creations(client_of, admin, bodies))

    assert statuses(responses) == {201: 10}
    assert len({response.json()["username"] for response in responses}) == 10


def test_update_user_at_once_gives_an_e_mail_to_one(
    client_of: ClientOf, admin: User, db: Session
) -> None:
    def update() -> Call:
        client, url = client_of(admin), f"{URL}{make_user(db).id}"
        return lambda: client.patch(url, json={"email": "ann@example.com"})

    responses = at_once([update() for _ in range(10)])

    assert statuses(responses) == {200: 1, 409: 9}


def test_update_user_at_once_loses_no_change(client_of: ClientOf, admin: User, user: User) -> None:
    values: dict[str, Any] = {"full_name": "Ann Lee", "department": "Kitchen", "token_quota": 5}

    def update(field: str) -> Call:
        client = client_of(admin)
        return lambda: client.patch(f"{URL}{user.id}", json={field: values[field]})

    responses = at_once([update(field) for field in values])

    record = client_of(admin).get(f"{URL}{user.id}").json()
    assert statuses(responses) == {200: 3}
    assert record == record | values | {"version": 4}


def test_delete_user_at_once_takes_them_once(client_of: ClientOf, admin: User, user: User) -> None:
    def delete() -> Call:
        client = client_of(admin)
        return lambda: client.delete(f"{URL}{user.id}")

    responses = at_once([delete() for _ in range(10)])

    assert statuses(responses) == {204: 1, 404: 9}


@pytest.mark.parametrize("deed", TAKEDOWNS)
def test_admins_at_once_leave_one_of_two(client_of: ClientOf, db: Session, deed: str) -> None:
    first, second = make_user(db, role=Role.ADMIN), make_user(db, role=Role.ADMIN)

    def take_down(own: User, other: User) -> Call:
        client = client_of(own)
        return lambda: TAKEDOWNS[deed](client, own, other)

    responses = at_once([take_down(first, second), take_down(second, first)])

    done = [response for response in responses if response.is_success]
    refused = [response for response in responses if not response.is_success]
    assert (len(done), len(refused)) == (1, 1)
    assert refused[0].json()["error"] in {
        "INVALID_TOKEN",  # The other was quicker, and the one who asks is
        "PERMISSION_DENIED",  # gone, no admin any more,
        "USER_NOT_FOUND",
        "LAST_ADMIN",  # or the only one left.
    }
    assert count_active_admins(db) == 1


def test_admins_at_once_leave_one_of_many(client_of: ClientOf, db: Session) -> None:
    admins = [make_user(db, role=Role.ADMIN) for _ in range(6)]

    def leave(own: User) -> Call:
        client = client_of(own)
        return lambda: client.delete(f"{URL}me")

    responses = at_once([leave(own) for own in admins])

    errors = {response.json()["error"] for response in responses if not response.is_success}
    assert statuses(responses) == {204: 5, 409: 1}
    assert errors == {"LAST_ADMIN"}
    assert count_active_admins(db) == 1
