"""Open registration: alike for a free and for a taken address."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import AuditEvent, OutgoingEmail, User
from tests.assertions import assert_error, what_tells
from tests.factories import make_user
from tests.letters import last_token, letters
from tests.racing import at_once, statuses
from tests.settings import changed_settings

URL = "/api/v1/auth/register"
EMAIL = "ann@example.com"
PASSWORD = "wallpaper-on-tuesday"
# Who may hold the address already, and the letter that tells them.
OWNERS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "verified": ({}, [("registration_tried", EMAIL)]),
    "unverified": ({"is_verified": False}, [("registration_tried", EMAIL)]),
    "inactive": ({"is_active": False}, []),
}


@pytest.fixture
def visitor(anonymous: TestClient) -> Iterator[TestClient]:
    with changed_settings(OPEN_REGISTRATION="true"):
        yield anonymous


def register(client: TestClient, **values: Any) -> Response:
    return client.post(URL, json={"email": EMAIL, "password": PASSWORD} | values)


def sign_in(client: TestClient, username: str, password: str = PASSWORD) -> Response:
    form = {"username": username, "password": password}
    return client.post("/api/v1/auth/login", data=form)


def count_users(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(User)) or 0


def usernames(db: Session) -> list[str]:
    return list(db.scalars(select(User.username).order_by(User.id)))


def test_register_makes_a_plain_unverified_user(visitor: TestClient, db: Session) -> None:
    response = register(visitor, email="Ann@Example.com", username="AnnLee", full_name="Ann Lee")

    user = db.scalars(select(User)).one()
    assert response.status_code == 201
    assert set(response.json()) == {"message"}
    assert "location" not in response.headers
    assert (user.email, user.username, user.full_name) == (EMAIL, "annlee", "Ann Lee")
    assert (user.role, user.is_active, user.is_verified) == ("user", True, False)
    assert (user.department, user.token_quota) == (None, 100_000)


def test_register_sends_a_letter_to_verify_the_address(visitor: TestClient, db: Session) -> None:
    register(visitor)

    assert letters(db) == [("verify_email", EMAIL)]


def test_register_puts_no_word_of_its_own_into_the_letter(visitor: TestClient, db: Session) -> None:
    register(visitor, full_name="Win at evil.example", username="evil.example")

    parameters = db.scalars(select(OutgoingEmail.parameters)).one()
    assert "evil" not in str(parameters)


def test_register_is_closed_unless_it_is_opened(anonymous: TestClient, db: Session) -> None:
    response = register(anonymous)

    assert_error(response, 403, "REGISTRATION_CLOSED")
    assert count_users(db) == 0


def test_register_lets_see_and_change_the_profile_but_no_items_until_verified(
    visitor: TestClient, db: Session
) -> None:
    register(visitor)
    token = sign_in(visitor, EMAIL).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    me, items = "/api/v1/users/me", "/api/v1/items/"

    before = [
        visitor.get(me, headers=bearer),
        visitor.patch(me, json={"full_name": "Ann Lee"}, headers=bearer),
        visitor.get(items, headers=bearer),
        visitor.post(items, json={"title": "Lamp"}, headers=bearer),
    ]
    visitor.post("/api/v1/auth/email/verify/confirm", json={"token": last_token(db)})
    after = [
        visitor.get(items, headers=bearer),
        visitor.post(items, json={"title": "Lamp"}, headers=bearer),
    ]

    assert [response.status_code for response in before] == [200, 200, 403, 403]
    assert before[-1].json()["error"] == "NOT_VERIFIED"
    assert [response.status_code for response in after] == [200, 201]


# --- Whether an address is known.


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("email", [EMAIL, "Ann@EXAMPLE.com"])
def test_register_answers_alike_for_a_taken_address(
    visitor: TestClient, db: Session, hashes: list[str], owner: str, email: str
) -> None:
    make_user(db, email=EMAIL, **OWNERS[owner][0])

    taken = register(visitor, email=email)
    hashes_of_taken = hashes.copy()
    hashes.clear()
    free = register(visitor, email="bob@example.com")

    assert free.status_code == 201
    assert what_tells(taken) == what_tells(free)
    assert hashes_of_taken == hashes == ["hash_secret"]


@pytest.mark.parametrize("owner", OWNERS)
def test_register_tells_the_owner_of_a_taken_address_and_changes_nothing(
    visitor: TestClient, db: Session, owner: str
) -> None:
    values, written = OWNERS[owner]
    user = make_user(db, email=EMAIL, username="annlee", password="curtains-on-friday", **values)
    before = (user.hashed_password, user.full_name, user.is_active, user.is_verified, user.version)

    register(visitor, username="another", full_name="Mallory")

    db.refresh(user)
    after = (user.hashed_password, user.full_name, user.is_active, user.is_verified, user.version)
    assert after == before
    assert usernames(db) == ["annlee"]
    assert letters(db) == written


@pytest.mark.parametrize("owner", [*OWNERS, "nobody"])
def test_register_writes_something_whoever_has_the_address(
    visitor: TestClient, db: Session, owner: str
) -> None:
    """A transaction with nothing to commit is quicker, and that would tell."""
    if owner != "nobody":
        make_user(db, email=EMAIL, **OWNERS[owner][0])

    register(visitor)

    action = db.scalars(select(AuditEvent.action)).one()
    assert action == ("create" if owner == "nobody" else "registration_tried")


def test_register_takes_the_address_of_a_deleted_user(visitor: TestClient, db: Session) -> None:
    make_user(db, email=EMAIL, deleted_at=utc_now())

    register(visitor)

    assert sign_in(visitor, EMAIL).status_code == 200
    assert letters(db) == [("verify_email", EMAIL)]


@pytest.mark.parametrize(
    ("values", "code"),
    [({"password": "password1"}, "PASSWORD_TOO_EASY"), ({"password": "short"}, "INVALID_REQUEST")],
)
def test_register_refuses_a_password_alike_for_a_taken_address(
    visitor: TestClient, db: Session, values: dict[str, str], code: str
) -> None:
    free = register(visitor, **values)
    make_user(db, email=EMAIL)

    taken = register(visitor, **values)

    assert_error(taken, 422, code, "password")
    assert what_tells(taken) == what_tells(free)


# --- User names.


@pytest.mark.parametrize("username", ["annlee", "AnnLee"])
def test_register_gives_a_taken_user_name_a_suffix(
    visitor: TestClient, db: Session, username: str
) -> None:
    make_user(db, username="annlee")

    taken = register(visitor, username=username)
    free = register(visitor, email="bob@example.com", username="bob")

    assert usernames(db) == ["annlee", "annlee2", "bob"]
    assert what_tells(taken) == what_tells(free)


def test_register_keeps_a_free_user_name_of_full_length(visitor: TestClient, db: Session) -> None:
    register(visitor, username="x" * 50)
    register(visitor, email="bob@example.com", username="x" * 50)

    first, second = usernames(db)
    assert first == "x" * 50
    assert second.startswith("x" * 44)
    assert len(second) <= 50


@pytest.mark.parametrize(
    ("email", "username"),
    [("ann@example.com", "ann"), ("a@example.com", "a__"), ("ann+news@example.com", "annnews")],
)
def test_register_makes_a_user_name_of_the_e_mail(
    visitor: TestClient, db: Session, email: str, username: str
) -> None:
    register(visitor, email=email)

    assert usernames(db) == [username]


def test_register_gives_no_user_name_that_is_the_password(visitor: TestClient, db: Session) -> None:
    """Nor does it refuse one: that would tell which user names are taken."""
    make_user(db, username="margaret")

    response = register(visitor, username="margaret", password="Margaret2")

    assert response.status_code == 201
    assert usernames(db) == ["margaret", "margaret3"]


# --- What is refused.


@pytest.mark.parametrize(
    "password",
    ["password1", "PassWord1", "ann.hale@example.com", "Ann.HALE", "northandsouth"],
)
def test_register_refuses_an_easy_password(visitor: TestClient, db: Session, password: str) -> None:
    response = register(
        visitor, email="ann.hale@example.com", username="NorthAndSouth", password=password
    )

    assert_error(response, 422, "PASSWORD_TOO_EASY", "password")
    assert count_users(db) == 0


def test_register_refuses_the_user_name_it_would_make_as_password(
    visitor: TestClient, db: Session
) -> None:
    response = register(visitor, email="margaret+hale@example.com", password="MargaretHale")

    assert_error(response, 422, "PASSWORD_TOO_EASY", "password")
    assert count_users(db) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", None),
        ("email", "ann"),
        ("email", "ann@example.com\r\nBcc: all@example.com"),
        ("email", "x" * 300 + "@example.com"),
        ("password", None),
        ("username", "xy"),
        ("username", "ann lee"),
        ("full_name", "x" * 101),
        ("role", "admin"),
        ("is_verified", True),
        ("is_active", True),
        ("token_quota", None),
        ("department", "Sales"),
        ("must_change_password", False),
        ("hashed_password", "x"),
    ],
)
def test_register_refuses_a_field_by_its_name(
    visitor: TestClient, db: Session, hashes: list[str], field: str, value: Any
) -> None:
    response = register(visitor, **{field: value})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert (count_users(db), hashes) == (0, [])


# --- At once.


def test_register_at_once_makes_one_user_of_an_address(visitor: TestClient, db: Session) -> None:
    responses = at_once([lambda: register(visitor)] * 10)

    assert statuses(responses) == {201: 10}
    assert count_users(db) == 1
    assert sorted(letters(db)) == [("registration_tried", EMAIL)] * 9 + [("verify_email", EMAIL)]


def test_register_at_once_gives_a_user_name_to_one(visitor: TestClient, db: Session) -> None:
    calls = [
        lambda number=number: register(visitor, email=f"{number}@x.example", username="annlee")
        for number in range(10)
    ]

    responses = at_once(calls)

    assert statuses(responses) == {201: 10}
    assert len(set(usernames(db))) == 10
