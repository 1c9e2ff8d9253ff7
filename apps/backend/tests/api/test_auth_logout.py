"""Signing out: by whatever names the session, at once, and as often as one likes."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import AuditEvent, LoginSession, User
from tests.assertions import assert_error
from tests.factories import Login, make_login, make_user
from tests.later import later
from tests.logins import bearer, is_signed_in
from tests.settings import client_with

URL = "/api/v1/auth/logout"
ALL = "/api/v1/auth/logout-all"
BOTH = pytest.mark.parametrize("url", [URL, ALL])
# How a client says which session is to end.
WAYS: dict[str, Callable[[TestClient, str, Login], Response]] = {
    "bearer": lambda client, url, login: client.post(url, headers=bearer(login)),
    "refresh token": lambda client, url, login: client.post(
        url, json={"refresh_token": login.refresh_token}
    ),
    "both": lambda client, url, login: client.post(
        url, headers=bearer(login), json={"refresh_token": login.refresh_token}
    ),
}
BY_ANY_WAY = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def login(db: Session, user: User) -> Login:
    return make_login(db, user=user)


def actions(db: Session) -> list[str]:
    return list(db.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


@BOTH
@BY_ANY_WAY
def test_logout_ends_the_session_at_once(
    anonymous: TestClient, login: Login, url: str, way: str
) -> None:
    response = WAYS[way](anonymous, url, login)

    assert (response.status_code, response.content) == (204, b"")
    assert not is_signed_in(anonymous, login)


@BOTH
@BY_ANY_WAY
def test_logout_twice_is_no_mistake(
    anonymous: TestClient, db: Session, login: Login, url: str, way: str
) -> None:
    responses = [WAYS[way](anonymous, url, login) for _ in range(2)]

    assert [response.status_code for response in responses] == [204, 204]
    assert len(actions(db)) == 1


@pytest.mark.parametrize("way", ["bearer", "refresh token"])
def test_logout_leaves_other_sessions(
    anonymous: TestClient, db: Session, user: User, login: Login, way: str
) -> None:
    other = make_login(db, user=user)

    WAYS[way](anonymous, URL, login)

    assert is_signed_in(anonymous, other)


@pytest.mark.parametrize("way", ["bearer", "refresh token"])
def test_logout_all_ends_every_session_of_the_user_and_of_nobody_else(
    anonymous: TestClient, db: Session, user: User, admin: User, login: Login, way: str
) -> None:
    other, foreign = make_login(db, user=user), make_login(db, user=admin)

    response = WAYS[way](anonymous, ALL, login)

    assert response.status_code == 204
    assert not is_signed_in(anonymous, login)
    assert not is_signed_in(anonymous, other)
    assert is_signed_in(anonymous, foreign)


def test_logout_all_by_a_session_that_has_ended_ends_no_other(
    anonymous: TestClient, db: Session, user: User, login: Login
) -> None:
    other = make_login(db, user=user)
    WAYS["bearer"](anonymous, URL, login)

    response = WAYS["bearer"](anonymous, ALL, login)

    assert response.status_code == 204
    assert is_signed_in(anonymous, other)


@BOTH
def test_logout_takes_an_expired_access_token(
    anonymous: TestClient, db: Session, login: Login, url: str
) -> None:
    with later(minutes=16):
        response = anonymous.post(url, headers=bearer(login))

    ended_at = db.scalar(select(LoginSession.ended_at))
    assert response.status_code == 204
    assert ended_at is not None


def test_logout_takes_a_spent_refresh_token(anonymous: TestClient, login: Login) -> None:
    body = {"refresh_token": login.refresh_token}
    latest = anonymous.post("/api/v1/auth/refresh", json=body).json()

    response = anonymous.post(URL, json=body)

    again = anonymous.post("/api/v1/auth/refresh", json={"refresh_token": latest["refresh_token"]})
    assert response.status_code == 204
    assert_error(again, 401, "INVALID_TOKEN")


def test_logout_of_a_session_whose_time_is_up_is_no_mistake(
    anonymous: TestClient, db: Session, user: User
) -> None:
    login = make_login(db, user=user, expires_at=utc_now() - timedelta(days=1))

    responses = [WAYS[way](anonymous, URL, login) for way in WAYS]

    assert {response.status_code for response in responses} == {204}


@pytest.mark.parametrize("deed", ["deactivation", "deletion"])
def test_logout_of_an_account_that_is_gone_is_no_mistake(
    anonymous: TestClient, as_admin: TestClient, user: User, login: Login, deed: str
) -> None:
    if deed == "deletion":
        as_admin.delete(f"/api/v1/users/{user.id}")
    else:
        as_admin.patch(f"/api/v1/users/{user.id}", json={"is_active": False})

    responses = [WAYS[way](anonymous, URL, login) for way in WAYS]

    assert {response.status_code for response in responses} == {204}


def test_logout_is_open_to_whoever_must_change_the_password(
    anonymous: TestClient, db: Session
) -> None:
    login = make_login(db, user=make_user(db, must_change_password=True))

    response = anonymous.post(URL, headers=bearer(login))

    assert response.status_code == 204


def test_logout_takes_a_token_of_the_key_before(login: Login) -> None:
    with client_with(
        SECRET_KEY="the-key-of-today-signs-whatever-is-given-out-now",
        SECRET_KEY_PREVIOUS="tests-sign-with-this-key-and-nobody-else-does",
    ) as client:
        response = client.post(URL, headers=bearer(login))

    assert response.status_code == 204


@BOTH
def test_logout_asks_whose_session(anonymous: TestClient, url: str) -> None:
    response = anonymous.post(url)

    assert_error(response, 401, "NOT_AUTHENTICATED")


@BOTH
@pytest.mark.parametrize("change", ["signature", "refresh token", "nothing"])
def test_logout_refuses_a_bearer_that_is_not_rightly_signed(
    anonymous: TestClient, login: Login, url: str, change: str
) -> None:
    tokens = {
        "signature": login.access_token[:-10] + "A" * 10,
        "refresh token": login.refresh_token,
        "nothing": "x",
    }

    response = anonymous.post(url, headers={"Authorization": f"Bearer {tokens[change]}"})

    assert_error(response, 401, "INVALID_TOKEN")
    assert is_signed_in(anonymous, login)


@BOTH
def test_logout_refuses_a_token_of_another_kind_in_the_body(
    anonymous: TestClient, login: Login, url: str
) -> None:
    for token in ("x" * 43, login.access_token):
        response = anonymous.post(url, json={"refresh_token": token})

        assert_error(response, 401, "INVALID_TOKEN")
    assert is_signed_in(anonymous, login)


@pytest.mark.parametrize(
    ("url", "action"), [(URL, "logout"), (ALL, "logout_all")], ids=["this", "all"]
)
@pytest.mark.parametrize("way", ["bearer", "refresh token"])
def test_logout_is_noted(
    anonymous: TestClient,
    db: Session,
    user: User,
    login: Login,
    url: str,
    action: str,
    way: str,
) -> None:
    response = WAYS[way](anonymous, url, login)

    event = db.scalars(select(AuditEvent)).one()
    assert event.action == action
    assert (event.actor_id, event.actor_email) == (user.id, user.email)
    assert (event.resource_type, event.resource_id) == ("user", user.id)
    assert event.session_id == login.session_id
    assert event.request_id == response.headers["x-request-id"]
