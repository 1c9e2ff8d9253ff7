"""Where somebody is signed in: shown to themself and to admins, and ended by them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import AuditEvent, LoginSession, User
from tests.assertions import assert_error
from tests.factories import Login, make_login, make_session, make_user
from tests.logins import bearer, is_signed_in

URL = "/api/v1/auth/sessions"
ME = "/api/v1/users/me"
PASSWORD = "wallpaper-on-tuesday"
FIELDS = {
    "id",
    "device",
    "address",
    "created_at",
    "last_used_at",
    "expires_at",
    "is_current",
}
# Sessions that are over, each for a reason of its own.
OVER: dict[str, dict[str, Any]] = {
    "ended": {"ended_at": utc_now() - timedelta(hours=1)},
    "idle": {"idle_expires_at": utc_now() - timedelta(hours=1)},
    "expired": {"expires_at": utc_now() - timedelta(hours=1)},
}


@pytest.fixture
def login(db: Session, user: User) -> Login:
    return make_login(db, user=user)


def ids(records: list[dict[str, Any]]) -> list[int]:
    return [record["id"] for record in records]


# --- A session and its user.


def test_session_and_user_are_loaded_by_one_statement(
    as_user: TestClient, statements: list[str]
) -> None:
    response = as_user.get(ME)

    assert response.status_code == 200
    assert len(statements) == 1


@pytest.mark.parametrize("reason", OVER)
def test_session_that_is_over_lets_nobody_in(
    anonymous: TestClient, db: Session, user: User, reason: str
) -> None:
    login = make_login(db, user=user, **OVER[reason])

    assert not is_signed_in(anonymous, login)


def test_login_opens_a_session_of_its_own_each_time(anonymous: TestClient, db: Session) -> None:
    make_user(db, username="annlee", password=PASSWORD)
    form = {"username": "annlee", "password": PASSWORD}

    first, second = (
        Login(0, body["access_token"], body["refresh_token"])
        for body in (anonymous.post("/api/v1/auth/login", data=form).json() for _ in range(2))
    )
    anonymous.post("/api/v1/auth/logout", headers=bearer(first))

    assert not is_signed_in(anonymous, first)
    assert is_signed_in(anonymous, second)


# --- One's own.


def test_get_my_sessions_tells_device_address_and_times(anonymous: TestClient, db: Session) -> None:
    make_user(db, username="annlee", password=PASSWORD)
    form = {"username": "annlee", "password": PASSWORD}
    agent = {"User-Agent": "Firefox on Ann's desk"}
    token = anonymous.post("/api/v1/auth/login", data=form, headers=agent).json()["access_token"]

    response = anonymous.get(URL, headers={"Authorization": f"Bearer {token}"})

    (record,) = response.json()
    assert response.status_code == 200
    assert set(record) == FIELDS
    assert (record["device"], record["address"]) == ("Firefox on Ann's desk", "testclient")
    assert record["is_current"] is True
    assert record["created_at"] == record["last_used_at"] < record["expires_at"]


def test_get_my_sessions_tells_which_one_asks(
    anonymous: TestClient, db: Session, user: User, login: Login
) -> None:
    other = make_session(db, user=user)

    response = anonymous.get(URL, headers=bearer(login))

    assert {record["id"]: record["is_current"] for record in response.json()} == {
        login.session_id: True,
        other.id: False,
    }


def test_get_my_sessions_names_the_last_used_first(
    anonymous: TestClient, db: Session, user: User, login: Login
) -> None:
    newer = make_login(db, user=user)
    anonymous.post("/api/v1/auth/refresh", json={"refresh_token": login.refresh_token})

    response = anonymous.get(URL, headers=bearer(login))

    records = response.json()
    assert ids(records) == [login.session_id, newer.session_id]
    assert records[0]["last_used_at"] > records[0]["created_at"]


def test_get_my_sessions_leaves_out_those_of_others_and_those_that_are_over(
    anonymous: TestClient, db: Session, user: User, admin: User, login: Login
) -> None:
    make_session(db, user=admin)
    for values in OVER.values():
        make_session(db, user=user, **values)

    response = anonymous.get(URL, headers=bearer(login))

    assert ids(response.json()) == [login.session_id]


def test_get_my_sessions_asks_for_a_login(anonymous: TestClient) -> None:
    response = anonymous.get(URL)

    assert_error(response, 401, "NOT_AUTHENTICATED")


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        (b"", ""),
        (b"x" * 500, "x" * 200),
        (b"one\ttwo\x1b[31m\x7f", "onetwo[31m"),
    ],
)
def test_login_keeps_of_the_device_what_can_be_shown(
    anonymous: TestClient, db: Session, agent: bytes, shown: str
) -> None:
    make_user(db, username="annlee", password=PASSWORD)
    form = {"username": "annlee", "password": PASSWORD}

    response = anonymous.post("/api/v1/auth/login", data=form, headers={b"User-Agent": agent})

    assert response.status_code == 200
    assert db.scalar(select(LoginSession.device)) == shown


def test_end_my_session_signs_that_device_out(
    anonymous: TestClient, db: Session, user: User, login: Login
) -> None:
    other = make_login(db, user=user)

    response = anonymous.delete(f"{URL}/{other.session_id}", headers=bearer(login))

    assert (response.status_code, response.content) == (204, b"")
    assert not is_signed_in(anonymous, other)
    assert is_signed_in(anonymous, login)


def test_end_my_session_ends_the_one_that_asks(anonymous: TestClient, login: Login) -> None:
    response = anonymous.delete(f"{URL}/{login.session_id}", headers=bearer(login))

    assert response.status_code == 204
    assert not is_signed_in(anonymous, login)


def test_end_my_session_leaves_those_of_others(
    anonymous: TestClient, as_admin: TestClient, login: Login
) -> None:
    response = as_admin.delete(f"{URL}/{login.session_id}")

    assert_error(response, 404, "SESSION_NOT_FOUND")
    assert is_signed_in(anonymous, login)


def test_end_my_session_knows_neither_ended_nor_unknown_ones(
    as_user: TestClient, db: Session, user: User
) -> None:
    ended = make_session(db, user=user, **OVER["ended"])

    responses = [as_user.delete(f"{URL}/{number}") for number in (ended.id, 10**9)]

    for response in responses:
        assert_error(response, 404, "SESSION_NOT_FOUND")


@pytest.mark.parametrize("number", ["0", "-1", str(2**63)])
def test_end_my_session_refuses_what_is_no_id(as_user: TestClient, number: str) -> None:
    response = as_user.delete(f"{URL}/{number}")

    assert_error(response, 422, "INVALID_REQUEST", "session_id")


def test_end_my_session_is_noted(
    anonymous: TestClient, db: Session, user: User, login: Login
) -> None:
    other = make_login(db, user=user)

    anonymous.delete(f"{URL}/{other.session_id}", headers=bearer(login))

    event = db.scalars(select(AuditEvent)).one()
    assert (event.action, event.resource_type) == ("session_ended", "session")
    assert (event.actor_id, event.resource_id) == (user.id, other.session_id)


# --- Another's, for admins.


def url_of(user: User) -> str:
    return f"/api/v1/users/{user.id}/sessions"


def test_get_user_sessions_shows_them_to_an_admin(
    as_admin: TestClient, db: Session, user: User, login: Login
) -> None:
    for values in OVER.values():
        make_session(db, user=user, **values)

    response = as_admin.get(url_of(user))

    (record,) = response.json()
    assert response.status_code == 200
    assert set(record) == FIELDS
    assert (record["id"], record["is_current"]) == (login.session_id, False)


def test_get_user_sessions_tells_an_admin_which_of_their_own_asks(
    as_admin: TestClient, admin: User
) -> None:
    response = as_admin.get(url_of(admin))

    assert [record["is_current"] for record in response.json()] == [True]


def test_end_user_sessions_signs_a_user_out_everywhere(
    anonymous: TestClient,
    as_admin: TestClient,
    client_of: Callable[[User], TestClient],
    db: Session,
    user: User,
    login: Login,
) -> None:
    other, foreign = make_login(db, user=user), client_of(make_user(db))

    responses = [as_admin.delete(url_of(user)) for _ in range(2)]

    assert [response.status_code for response in responses] == [204, 204]
    assert not is_signed_in(anonymous, login)
    assert not is_signed_in(anonymous, other)
    assert foreign.get(ME).status_code == 200
    assert as_admin.get(ME).status_code == 200


def test_end_user_sessions_is_noted(
    as_admin: TestClient, db: Session, admin: User, user: User, login: Login
) -> None:
    as_admin.delete(url_of(user))

    event = db.scalars(select(AuditEvent)).one()
    assert event.action == "sessions_ended"
    assert (event.actor_id, event.resource_id) == (admin.id, user.id)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("values", [None, {"deleted_at": utc_now()}])
def test_end_user_sessions_and_their_list_know_no_user_who_is_not_there(
    as_admin: TestClient, db: Session, method: str, values: dict[str, Any] | None
) -> None:
    user_id = 10**9 if values is None else make_user(db, **values).id

    response = as_admin.request(method, f"/api/v1/users/{user_id}/sessions")

    assert_error(response, 404, "USER_NOT_FOUND")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_end_user_sessions_and_their_list_are_for_admins_alone(
    as_manager: TestClient, as_auditor: TestClient, as_user: TestClient, user: User, method: str
) -> None:
    for client in (as_manager, as_auditor, as_user):
        response = client.request(method, url_of(user))

        assert_error(response, 403, "PERMISSION_DENIED")
