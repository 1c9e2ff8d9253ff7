"""Refresh tokens: good for one use each, and what a second use does to the session."""

import base64
from datetime import timedelta
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import AuditEvent, LoginSession, RefreshToken, User
from tests.assertions import assert_error
from tests.factories import Login, make_login, make_user
from tests.later import later
from tests.letters import last_token
from tests.racing import at_once
from tests.settings import client_with

URL = "/api/v1/auth/refresh"
ME = "/api/v1/users/me"
PASSWORD = "wallpaper-on-tuesday"


@pytest.fixture
def login(db: Session, user: User) -> Login:
    return make_login(db, user=user)


def refresh(client: TestClient, token: str) -> Response:
    return client.post(URL, json={"refresh_token": token})


def successor(client: TestClient, token: str) -> str:
    response = refresh(client, token)
    assert response.status_code == 200, response.text
    return str(response.json()["refresh_token"])


def ask(client: TestClient, access_token: str) -> int:
    response = client.get(ME, headers={"Authorization": f"Bearer {access_token}"})
    return response.status_code


def count_live_tokens(db: Session) -> int:
    return db.scalar(select(func.count()).where(RefreshToken.spent_at.is_(None))) or 0


def is_ended(db: Session, login: Login) -> bool:
    statement = select(LoginSession.ended_at).where(LoginSession.id == login.session_id)
    return db.scalar(statement) is not None


def refusals(db: Session) -> int:
    statement = select(func.count()).where(AuditEvent.action == "refresh_refused")
    return db.scalar(statement) or 0


# --- Rotation.


def test_refresh_gives_a_new_pair(anonymous: TestClient, login: Login) -> None:
    response = refresh(anonymous, login.refresh_token)

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 15 * 60)
    assert body["refresh_token"] != login.refresh_token
    assert ask(anonymous, body["access_token"]) == 200


def test_refresh_stays_in_its_session(anonymous: TestClient, login: Login) -> None:
    response = refresh(anonymous, login.refresh_token)

    claims = jwt.decode(response.json()["access_token"], options={"verify_signature": False})
    assert claims["sid"] == login.session_id


def test_refresh_goes_on_from_token_to_token_after_a_login(
    anonymous: TestClient, db: Session
) -> None:
    make_user(db, username="annlee", password=PASSWORD)
    form = {"username": "annlee", "password": PASSWORD}
    token = anonymous.post("/api/v1/auth/login", data=form).json()["refresh_token"]

    tokens = {token}
    for _ in range(3):
        token = successor(anonymous, token)
        tokens.add(token)

    assert len(tokens) == 4
    assert all(len(base64.urlsafe_b64decode(f"{token}=")) == 32 for token in tokens)


def test_refresh_is_stored_by_no_cache(anonymous: TestClient, login: Login) -> None:
    response = refresh(anonymous, login.refresh_token)

    assert response.headers["cache-control"] == "no-store"


def test_refresh_leaves_the_access_token_of_before(anonymous: TestClient, login: Login) -> None:
    refresh(anonymous, login.refresh_token)

    assert ask(anonymous, login.access_token) == 200


def test_refresh_leaves_other_sessions_alone(
    anonymous: TestClient, db: Session, user: User, login: Login
) -> None:
    other = make_login(db, user=user)

    refresh(anonymous, login.refresh_token)

    assert refresh(anonymous, other.refresh_token).status_code == 200


# --- A spent token.


def test_refresh_with_a_spent_token_ends_the_session(
    anonymous: TestClient, db: Session, login: Login
) -> None:
    latest = refresh(anonymous, login.refresh_token).json()

    with later(seconds=11):
        response = refresh(anonymous, login.refresh_token)

        assert_error(response, 401, "REFRESH_TOKEN_REUSED")
        assert_error(refresh(anonymous, latest["refresh_token"]), 401, "INVALID_TOKEN")
        assert ask(anonymous, latest["access_token"]) == 401
        assert ask(anonymous, login.access_token) == 401
    assert is_ended(db, login)


def test_refresh_with_a_spent_token_ends_one_session_only(
    anonymous: TestClient, db: Session, user: User, login: Login
) -> None:
    other = make_login(db, user=user)
    refresh(anonymous, login.refresh_token)

    with later(seconds=11):
        refresh(anonymous, login.refresh_token)

        assert refresh(anonymous, other.refresh_token).status_code == 200


def test_refresh_with_any_spent_token_of_the_session_ends_it(
    anonymous: TestClient, db: Session, login: Login
) -> None:
    token = login.refresh_token
    for _ in range(3):
        token = successor(anonymous, token)

    with later(days=1):
        response = refresh(anonymous, login.refresh_token)

    assert_error(response, 401, "REFRESH_TOKEN_REUSED")
    assert is_ended(db, login)


def test_refresh_with_a_spent_token_is_noted(
    anonymous: TestClient, db: Session, user: User, login: Login
) -> None:
    refresh(anonymous, login.refresh_token)

    with later(seconds=11):
        response = refresh(anonymous, login.refresh_token)

    event = db.scalars(select(AuditEvent).where(AuditEvent.action == "refresh_refused")).one()
    assert (event.resource_type, event.resource_id) == ("user", user.id)
    assert event.session_id == login.session_id
    assert event.request_id == response.headers["x-request-id"]
    assert event.ip == "testclient"


def test_refresh_at_once_with_a_spent_token_gives_nobody_anything(
    anonymous: TestClient, db: Session, login: Login
) -> None:
    refresh(anonymous, login.refresh_token)

    with later(seconds=11):
        responses = at_once([lambda: refresh(anonymous, login.refresh_token)] * 10)

    assert {response.status_code for response in responses} == {401}
    assert is_ended(db, login)


# --- Two tabs that refresh at the same time.


@pytest.mark.parametrize("seconds", [0, 9])
def test_refresh_again_within_the_grace_gives_the_same_successor(
    anonymous: TestClient, db: Session, login: Login, seconds: int
) -> None:
    first = successor(anonymous, login.refresh_token)

    with later(seconds=seconds):
        second = refresh(anonymous, login.refresh_token).json()

        assert second["refresh_token"] == first
        assert ask(anonymous, second["access_token"]) == 200
    assert count_live_tokens(db) == 1


@pytest.mark.parametrize("span", [{"hours": -1}, {"minutes": -1}, {"seconds": -12}])
def test_refresh_again_has_no_grace_where_the_clock_was_set_back(
    anonymous: TestClient, db: Session, login: Login, span: dict[str, float]
) -> None:
    successor(anonymous, login.refresh_token)

    with later(**span):
        response = refresh(anonymous, login.refresh_token)

    assert_error(response, 401, "REFRESH_TOKEN_REUSED")
    assert is_ended(db, login)


def test_refresh_again_within_the_grace_follows_the_chain_to_its_end(
    anonymous: TestClient, db: Session, login: Login
) -> None:
    second = successor(anonymous, login.refresh_token)
    third = successor(anonymous, second)

    again = [successor(anonymous, token) for token in (login.refresh_token, second)]

    assert again == [third, third]
    assert count_live_tokens(db) == 1


def test_refresh_counts_the_grace_from_the_first_use(anonymous: TestClient, login: Login) -> None:
    token = successor(anonymous, login.refresh_token)
    with later(seconds=6):
        successor(anonymous, login.refresh_token)
        successor(anonymous, token)

    with later(seconds=11):
        response = refresh(anonymous, login.refresh_token)

    assert_error(response, 401, "REFRESH_TOKEN_REUSED")


def test_refresh_at_once_leaves_one_live_successor(
    anonymous: TestClient, db: Session, login: Login
) -> None:
    responses = at_once([lambda: refresh(anonymous, login.refresh_token)] * 20)

    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["refresh_token"] for response in responses}) == 1
    assert count_live_tokens(db) == 1
    assert successor(anonymous, responses[0].json()["refresh_token"])


@pytest.mark.parametrize("attempt", range(5))
def test_refresh_while_the_session_ends_gives_nothing_that_works(
    anonymous: TestClient, login: Login, attempt: int
) -> None:
    bearer = {"Authorization": f"Bearer {login.access_token}"}

    refreshed, ended = at_once(
        [
            lambda: refresh(anonymous, login.refresh_token),
            lambda: anonymous.post("/api/v1/auth/logout", headers=bearer),
        ]
    )

    assert ended.status_code == 204
    if refreshed.status_code != 401:
        body = refreshed.json()
        assert ask(anonymous, body["access_token"]) == 401
        assert refresh(anonymous, body["refresh_token"]).status_code == 401


# --- How long a session lasts.


def test_refresh_does_not_prolong_a_session_beyond_its_days(
    anonymous: TestClient, db: Session, login: Login
) -> None:
    token = login.refresh_token
    for days in (2, 4, 6):
        with later(days=days):
            token = successor(anonymous, token)
    with later(days=7, minutes=-1):
        last = refresh(anonymous, token).json()

    with later(days=7, seconds=1):
        response = refresh(anonymous, last["refresh_token"])

        assert_error(response, 401, "INVALID_TOKEN")
        assert ask(anonymous, last["access_token"]) == 401


def test_refresh_keeps_a_session_from_idling(anonymous: TestClient, login: Login) -> None:
    with later(days=2.9):
        token = successor(anonymous, login.refresh_token)

    with later(days=5.8):
        response = refresh(anonymous, token)

    assert response.status_code == 200


def test_refresh_of_an_idle_session_is_refused(anonymous: TestClient, login: Login) -> None:
    with later(days=3, seconds=1):
        response = refresh(anonymous, login.refresh_token)

    assert_error(response, 401, "INVALID_TOKEN")


def test_refresh_after_a_login_lasts_as_long_as_the_settings_say(db: Session) -> None:
    make_user(db, username="annlee", password=PASSWORD)
    form = {"username": "annlee", "password": PASSWORD}

    with client_with(REFRESH_TOKEN_EXPIRE_DAYS="2", SESSION_IDLE_DAYS="1") as client:
        idle, used = (
            client.post("/api/v1/auth/login", data=form).json()["refresh_token"] for _ in range(2)
        )
        with later(days=0.9):
            used = successor(client, used)
        with later(days=1.1):
            assert_error(refresh(client, idle), 401, "INVALID_TOKEN")
            used = successor(client, used)
        with later(days=2.1):
            assert_error(refresh(client, used), 401, "INVALID_TOKEN")


# --- What is refused.


@pytest.fixture
def foreign_tokens(anonymous: TestClient, db: Session, user: User, login: Login) -> dict[str, str]:
    """Tokens of other kinds, each of them good for what it is."""
    anonymous.post("/api/v1/auth/password/forgot", json={"email": user.email})
    reset = last_token(db)
    make_user(db, email="new@example.com", is_verified=False)
    anonymous.post("/api/v1/auth/email/verify", json={"email": "new@example.com"})
    return {"access": login.access_token, "reset": reset, "verify": last_token(db)}


@pytest.mark.parametrize("kind", ["access", "reset", "verify"])
def test_refresh_refuses_a_token_of_another_kind(
    anonymous: TestClient, foreign_tokens: dict[str, str], kind: str
) -> None:
    response = refresh(anonymous, foreign_tokens[kind])

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("token", ["x", "x" * 43, "x" * 2000, "🦊" * 43, "' OR 1=1 --", "null"])
def test_refresh_refuses_an_unknown_token(anonymous: TestClient, token: str) -> None:
    response = refresh(anonymous, token)

    assert_error(response, 401, "INVALID_TOKEN")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "body",
    [
        b'{"refresh_token": ""}',
        b'{"refresh_token": null}',
        b'{"refresh_token": 5}',
        b'{"refresh_token": ["x"]}',
        rb'{"refresh_token": "x\u0000"}',
        rb'{"refresh_token": "\ud800"}',
        b'{"refresh_token": "' + b"x" * 2001 + b'"}',
    ],
    ids=lambda body: ascii(body[:32]),
)
def test_refresh_refuses_what_is_no_token(anonymous: TestClient, body: bytes) -> None:
    response = anonymous.post(URL, content=body, headers={"Content-Type": "application/json"})

    assert_error(response, 422, "INVALID_REQUEST", "refresh_token")


def test_refresh_asks_for_a_token(anonymous: TestClient) -> None:
    response = anonymous.post(URL)

    assert_error(response, 401, "NOT_AUTHENTICATED")


def test_refresh_takes_no_token_from_the_address(anonymous: TestClient, login: Login) -> None:
    response = anonymous.post(URL, params={"refresh_token": login.refresh_token})

    assert_error(response, 422, "INVALID_REQUEST", "refresh_token")


def test_refresh_takes_no_token_from_the_header(anonymous: TestClient, login: Login) -> None:
    bearer = {"Authorization": f"Bearer {login.refresh_token}"}

    response = anonymous.post(URL, headers=bearer)

    assert_error(response, 401, "NOT_AUTHENTICATED")


@pytest.mark.parametrize("values", [{"is_active": False}, {"deleted_at": utc_now()}])
def test_refresh_refuses_whoever_has_no_account_any_more(
    anonymous: TestClient, db: Session, user: User, login: Login, values: dict[str, Any]
) -> None:
    for name, value in values.items():
        setattr(user, name, value)
    db.commit()

    response = refresh(anonymous, login.refresh_token)

    assert_error(response, 401, "INVALID_TOKEN")


def test_refresh_refuses_a_session_that_was_ended(
    anonymous: TestClient, db: Session, user: User
) -> None:
    login = make_login(db, user=user, ended_at=utc_now() - timedelta(minutes=1))

    response = refresh(anonymous, login.refresh_token)

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("deed", ["deactivation", "deletion", "password"])
def test_refresh_is_over_when_an_admin_shuts_the_account(
    anonymous: TestClient, as_admin: TestClient, user: User, login: Login, deed: str
) -> None:
    url = f"/api/v1/users/{user.id}"
    deeds = {
        "deactivation": lambda: as_admin.patch(url, json={"is_active": False}),
        "deletion": lambda: as_admin.delete(url),
        "password": lambda: as_admin.patch(url, json={"password": PASSWORD}),
    }

    done = deeds[deed]()

    assert done.is_success
    assert_error(refresh(anonymous, login.refresh_token), 401, "INVALID_TOKEN")
    assert ask(anonymous, login.access_token) == 401


def test_refresh_stays_over_when_the_account_is_opened_again(
    anonymous: TestClient, as_admin: TestClient, user: User, login: Login
) -> None:
    url = f"/api/v1/users/{user.id}"

    for is_active in (False, True):
        as_admin.patch(url, json={"is_active": is_active})

    assert_error(refresh(anonymous, login.refresh_token), 401, "INVALID_TOKEN")
    assert ask(anonymous, login.access_token) == 401


# --- Keys.


OLD_KEY = "the-key-of-yesterday-signed-with-until-midnight"
NEW_KEY = "the-key-of-today-signs-whatever-is-given-out-now"


def test_refresh_goes_on_while_the_key_changes(login: Login) -> None:
    with client_with(SECRET_KEY=OLD_KEY) as client:
        token = successor(client, login.refresh_token)

    with client_with(SECRET_KEY=NEW_KEY, SECRET_KEY_PREVIOUS=OLD_KEY) as client:
        again = successor(client, login.refresh_token)
        latest = successor(client, token)
        first_again = successor(client, login.refresh_token)

    assert again == token
    assert first_again == latest


def test_refresh_takes_a_live_token_whatever_key_made_it(login: Login) -> None:
    with client_with(SECRET_KEY=OLD_KEY) as client:
        token = successor(client, login.refresh_token)

    with client_with(SECRET_KEY=NEW_KEY) as client:
        response = refresh(client, token)

    assert response.status_code == 200


def test_refresh_within_the_grace_needs_the_key_that_made_the_successor(login: Login) -> None:
    with client_with(SECRET_KEY=OLD_KEY) as client:
        successor(client, login.refresh_token)

    with client_with(SECRET_KEY=NEW_KEY) as client:
        response = refresh(client, login.refresh_token)

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("why", ["ended", "expired", "idle", "inactive"])
def test_refresh_refused_is_noted_whatever_the_cause(
    anonymous: TestClient, db: Session, user: User, login: Login, why: str
) -> None:
    if why == "inactive":
        db.execute(update(User).values(is_active=False))
    elif why == "ended":
        anonymous.post("/api/v1/auth/logout", json={"refresh_token": login.refresh_token})
    else:
        column = "expires_at" if why == "expired" else "idle_expires_at"
        db.execute(update(LoginSession).values({column: utc_now()}))

    response = refresh(anonymous, login.refresh_token)

    assert_error(response, 401, "INVALID_TOKEN")
    assert refusals(db) == 1
