"""The letter that verifies an address, and the token in its link."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import AuditEvent, User
from tests.assertions import assert_error, what_tells
from tests.factories import make_login, make_user
from tests.later import later
from tests.letters import last_token, letters
from tests.racing import at_once, statuses

URL = "/api/v1/auth/email/verify"
EMAIL = "ann@example.com"
PASSWORD = "wallpaper-on-tuesday"
# Whom a letter to verify the address does not help.
OTHERS: dict[str, dict[str, Any] | None] = {
    "nobody": None,
    "verified": {"is_verified": True},
    "inactive": {"is_active": False},
    "deleted": {"deleted_at": utc_now()},
}


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(db, email=EMAIL, password=PASSWORD, is_verified=False)


def ask(client: TestClient, email: str = EMAIL) -> Response:
    return client.post(URL, json={"email": email})


def confirm(client: TestClient, token: str) -> Response:
    return client.post(f"{URL}/confirm", json={"token": token})


def new_token(client: TestClient, db: Session) -> str:
    assert ask(client).status_code == 202
    return last_token(db)


def is_verified(db: Session, user: User) -> bool:
    db.refresh(user)
    return user.is_verified


# --- Asking for the letter.


@pytest.mark.parametrize("email", [EMAIL, "Ann@EXAMPLE.com"])
def test_request_verification_sends_a_letter(
    anonymous: TestClient, db: Session, ann: User, email: str
) -> None:
    response = ask(anonymous, email)

    assert response.status_code == 202
    assert letters(db) == [("verify_email", EMAIL)]


@pytest.mark.parametrize("who", OTHERS)
def test_request_verification_answers_alike_and_sends_others_nothing(
    anonymous: TestClient, db: Session, ann: User, who: str
) -> None:
    values = OTHERS[who]
    if values is not None:
        make_user(db, email="bob@example.com", **{"is_verified": False} | values)

    response = ask(anonymous, "bob@example.com")

    assert letters(db) == []
    assert what_tells(response) == what_tells(ask(anonymous))


@pytest.mark.parametrize("who", [*OTHERS, "unverified"])
def test_request_verification_writes_something_whoever_is_asked_for(
    anonymous: TestClient, db: Session, who: str
) -> None:
    """A transaction with nothing to commit is quicker, and that would tell."""
    values = {"is_verified": False} | (OTHERS.get(who) or {})
    user = make_user(db, email=EMAIL, **values) if who != "nobody" else None

    response = ask(anonymous)

    event = db.scalars(select(AuditEvent)).one()
    known = user is not None and who in {"verified", "unverified"}
    assert event.action == "verification_requested"
    assert event.resource_id == (user.id if user is not None and known else None)
    assert event.request_id == response.headers["x-request-id"]


@pytest.mark.parametrize(
    "body", [{}, {"email": "ann"}, {"email": None}, {"email": "x" * 300 + "@example.com"}]
)
def test_request_verification_refuses_what_is_no_address(
    anonymous: TestClient, body: dict[str, Any]
) -> None:
    response = anonymous.post(URL, json=body)

    assert_error(response, 422, "INVALID_REQUEST", "email")


# --- The token.


def test_confirm_verification_verifies_the_address(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    response = confirm(anonymous, new_token(anonymous, db))

    assert response.status_code == 200
    assert is_verified(db, ann)


def test_confirm_verification_is_noted_as_the_bearer_s_deed(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    confirm(anonymous, new_token(anonymous, db))

    event = db.scalars(select(AuditEvent).where(AuditEvent.action == "update")).one()
    assert (event.actor_id, event.actor_email, event.resource_id) == (ann.id, EMAIL, ann.id)
    assert event.changes == {"is_verified": [False, True]}


def test_confirm_verification_takes_a_token_once(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    token = new_token(anonymous, db)

    responses = [confirm(anonymous, token) for _ in range(2)]

    assert responses[0].status_code == 200
    assert_error(responses[1], 400, "SPENT_TOKEN", "token")


def test_confirm_verification_at_once_takes_a_token_once(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    token = new_token(anonymous, db)

    responses = at_once([lambda: confirm(anonymous, token)] * 10)

    assert statuses(responses) == {200: 1, 400: 9}


@pytest.mark.parametrize(("hours", "status"), [(23.9, 200), (24.1, 400)])
def test_confirm_verification_takes_a_token_for_a_day(
    anonymous: TestClient, db: Session, ann: User, hours: float, status: int
) -> None:
    token = new_token(anonymous, db)

    with later(hours=hours):
        response = confirm(anonymous, token)

    assert response.status_code == status
    assert is_verified(db, ann) is (status == 200)


def test_confirm_verification_takes_the_latest_token_alone(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    older, newer = new_token(anonymous, db), new_token(anonymous, db)

    responses = [confirm(anonymous, token) for token in (older, newer)]

    assert_error(responses[0], 400, "SPENT_TOKEN", "token")
    assert responses[1].status_code == 200


@pytest.mark.parametrize("kind", ["access", "refresh", "reset", "invitation", "unknown"])
def test_confirm_verification_refuses_a_token_of_another_kind(
    anonymous: TestClient, as_admin: TestClient, db: Session, ann: User, kind: str
) -> None:
    login = make_login(db, user=ann)
    anonymous.post("/api/v1/auth/password/forgot", json={"email": EMAIL})
    reset = last_token(db)
    as_admin.post("/api/v1/users/", json={"email": "new@example.com", "is_verified": False})
    tokens = {
        "access": login.access_token,
        "refresh": login.refresh_token,
        "reset": reset,
        "invitation": last_token(db),
        "unknown": "x" * 43,
    }

    response = confirm(anonymous, tokens[kind])

    assert_error(response, 400, "SPENT_TOKEN", "token")
    assert not is_verified(db, ann)


@pytest.mark.parametrize("deed", ["deactivate", "deactivate and activate", "delete"])
def test_confirm_verification_refuses_a_token_of_an_account_that_was_shut(
    anonymous: TestClient, as_admin: TestClient, db: Session, ann: User, deed: str
) -> None:
    token, url = new_token(anonymous, db), f"/api/v1/users/{ann.id}"
    if deed == "delete":
        as_admin.delete(url)
    else:
        as_admin.patch(url, json={"is_active": False})
    if deed == "deactivate and activate":
        as_admin.patch(url, json={"is_active": True})

    response = confirm(anonymous, token)

    assert_error(response, 400, "SPENT_TOKEN", "token")
    assert not is_verified(db, ann)


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": None}, {"token": "x" * 2001}])
def test_confirm_verification_refuses_what_is_no_token(
    anonymous: TestClient, body: dict[str, Any]
) -> None:
    response = anonymous.post(f"{URL}/confirm", json=body)

    assert_error(response, 422, "INVALID_REQUEST", "token")


def test_confirm_verification_takes_no_token_from_the_address(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    token = new_token(anonymous, db)

    response = anonymous.post(f"{URL}/confirm", params={"token": token})

    assert_error(response, 422, "INVALID_REQUEST", "token")
    assert not is_verified(db, ann)
