"""Passwords: set by the link of a letter or by who knows the present one, and which are taken."""

import json
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.db.session import get_engine
from app.models import AuditEvent, OneTimeToken, User
from tests.assertions import assert_error, what_tells
from tests.factories import Login, make_login, make_user
from tests.later import later
from tests.letters import last_token, letters
from tests.logins import bearer, is_signed_in
from tests.racing import (
    Call,
    at_once,
    statuses,
    wait_until_somebody_waits_for_a_lock,
)
from tests.settings import changed_settings

FORGOT = "/api/v1/auth/password/forgot"
RESET = "/api/v1/auth/password/reset"
CHANGE = "/api/v1/users/me/password"
ME = "/api/v1/users/me"
EMAIL = "ann@example.com"
OLD = "wallpaper-on-tuesday"
NEW = "curtains-on-friday"
# Who gets no letter.
OTHERS: dict[str, dict[str, Any] | None] = {
    "nobody": None,
    "inactive": {"is_active": False},
    "deleted": {"deleted_at": utc_now()},
}


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(db, email=EMAIL, username="annlee", password=OLD)


@pytest.fixture
def login(db: Session, ann: User) -> Login:
    return make_login(db, user=ann)


def forgot(client: TestClient, email: str = EMAIL) -> Response:
    return client.post(FORGOT, json={"email": email})


def reset_token(client: TestClient, db: Session) -> str:
    assert forgot(client).status_code == 202
    return last_token(db)


def reset(client: TestClient, token: str, password: str = NEW) -> Response:
    return client.post(RESET, json={"token": token, "password": password})


def change(client: TestClient, login: Login, current: str = OLD, new: str = NEW) -> Response:
    body = {"current_password": current, "new_password": new}
    return client.post(CHANGE, json=body, headers=bearer(login))


def sign_in(client: TestClient, password: str) -> int:
    form = {"username": EMAIL, "password": password}
    return client.post("/api/v1/auth/login", data=form).status_code


# --- Asking for a letter.


@pytest.mark.parametrize("values", [{}, {"is_verified": False}, {"hashed_password": None}])
def test_request_password_reset_sends_a_letter(
    anonymous: TestClient, db: Session, values: dict[str, Any]
) -> None:
    make_user(db, email=EMAIL, **values)

    response = forgot(anonymous, "Ann@EXAMPLE.com")

    assert response.status_code == 202
    assert letters(db) == [("reset_password", EMAIL)]


@pytest.mark.parametrize("who", OTHERS)
def test_request_password_reset_answers_alike_and_sends_others_nothing(
    anonymous: TestClient, db: Session, ann: User, hashes: list[str], who: str
) -> None:
    values = OTHERS[who]
    if values is not None:
        make_user(db, email="bob@example.com", **values)

    response = forgot(anonymous, "bob@example.com")

    assert (letters(db), hashes) == ([], [])
    assert what_tells(response) == what_tells(forgot(anonymous))


@pytest.mark.parametrize("who", [*OTHERS, "active"])
def test_request_password_reset_writes_something_whoever_is_asked_for(
    anonymous: TestClient, db: Session, who: str
) -> None:
    """A transaction with nothing to commit is quicker, and that would tell."""
    if who != "nobody":
        make_user(db, email=EMAIL, **(OTHERS.get(who) or {}))
    active_id = db.scalar(select(User.id)) if who == "active" else None

    response = forgot(anonymous)

    event = db.scalars(select(AuditEvent)).one()
    assert (event.action, event.resource_id) == ("password_reset_requested", active_id)
    assert event.request_id == response.headers["x-request-id"]


def test_request_password_reset_leaves_password_and_sessions(
    anonymous: TestClient, login: Login
) -> None:
    forgot(anonymous)

    assert sign_in(anonymous, OLD) == 200
    assert is_signed_in(anonymous, login)


@pytest.mark.parametrize("body", [{}, {"email": "ann"}, {"email": 5}])
def test_request_password_reset_refuses_what_is_no_address(
    anonymous: TestClient, body: dict[str, Any]
) -> None:
    response = anonymous.post(FORGOT, json=body)

    assert_error(response, 422, "INVALID_REQUEST", "email")


# --- Setting a password by a token.


def test_reset_password_sets_it_and_ends_every_session(
    anonymous: TestClient, db: Session, ann: User, login: Login
) -> None:
    other = make_login(db, user=ann)

    response = reset(anonymous, reset_token(anonymous, db))

    assert response.status_code == 200
    assert set(response.json()) == {"message"}
    assert (sign_in(anonymous, OLD), sign_in(anonymous, NEW)) == (401, 200)
    assert not is_signed_in(anonymous, login)
    assert not is_signed_in(anonymous, other)


def test_reset_password_leaves_the_sessions_of_others(
    anonymous: TestClient, db: Session, ann: User, user: User
) -> None:
    foreign = make_login(db, user=user)

    reset(anonymous, reset_token(anonymous, db))

    assert is_signed_in(anonymous, foreign)


def test_reset_password_verifies_the_address_and_tells_the_owner(
    anonymous: TestClient, db: Session
) -> None:
    user = make_user(db, email=EMAIL, password=OLD, is_verified=False, must_change_password=True)

    reset(anonymous, reset_token(anonymous, db))

    db.refresh(user)
    assert (user.is_verified, user.must_change_password) == (True, False)
    assert letters(db) == [("reset_password", EMAIL), ("password_changed", EMAIL)]


def test_reset_password_is_noted_as_the_bearer_s_deed(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    reset(anonymous, reset_token(anonymous, db))

    event = db.scalars(select(AuditEvent).where(AuditEvent.action == "password_changed")).one()
    assert (event.actor_id, event.actor_email, event.resource_id) == (ann.id, EMAIL, ann.id)
    assert event.changes == {}


def test_reset_password_takes_a_token_once(anonymous: TestClient, db: Session, ann: User) -> None:
    token = reset_token(anonymous, db)

    responses = [reset(anonymous, token), reset(anonymous, token, "carpets-on-sunday")]

    assert responses[0].status_code == 200
    assert_error(responses[1], 400, "SPENT_TOKEN", "token")
    assert sign_in(anonymous, NEW) == 200


def test_reset_password_at_once_takes_a_token_once(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    token = reset_token(anonymous, db)
    passwords = [f"{NEW}-{number}" for number in range(4)]

    def resetting(password: str) -> Call:
        return lambda: reset(anonymous, token, password)

    responses = at_once([resetting(password) for password in passwords])

    assert statuses(responses) == {200: 1, 400: 3}
    assert sorted(sign_in(anonymous, password) for password in passwords) == [200, 401, 401, 401]


@pytest.mark.postgresql
def test_reset_password_while_the_account_is_shut_waits_for_nobody_in_a_circle(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    token = reset_token(anonymous, db)
    shutting = get_engine().connect()
    locked = select(User.id).where(User.id == ann.id).with_for_update()
    withdrawn = update(OneTimeToken).where(OneTimeToken.user_id == ann.id).values(used_at=utc_now())

    with shutting, shutting.begin(), ThreadPoolExecutor(1) as thread:
        shutting.execute(locked)
        answer = thread.submit(reset, anonymous, token)
        wait_until_somebody_waits_for_a_lock(db)
        shutting.execute(withdrawn)
        shutting.commit()

    assert_error(answer.result(), 400, "SPENT_TOKEN", "token")


@pytest.mark.parametrize(("span", "status"), [({"hours": -1}, 400), ({"seconds": -5}, 200)])
def test_reset_password_takes_no_token_from_before_the_clock_was_set_back(
    anonymous: TestClient, db: Session, ann: User, span: dict[str, float], status: int
) -> None:
    """Else it would last for the hour beside its own."""
    token = reset_token(anonymous, db)

    with later(**span):
        response = reset(anonymous, token)

    assert response.status_code == status


@pytest.mark.parametrize(("minutes", "status"), [(59, 200), (61, 400)])
def test_reset_password_takes_a_token_for_an_hour(
    anonymous: TestClient, db: Session, ann: User, minutes: int, status: int
) -> None:
    token = reset_token(anonymous, db)

    with later(minutes=minutes):
        response = reset(anonymous, token)

    assert response.status_code == status
    assert sign_in(anonymous, NEW) == (200 if status == 200 else 401)


def test_reset_password_takes_the_latest_token_alone(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    older, newer = reset_token(anonymous, db), reset_token(anonymous, db)

    responses = [reset(anonymous, token) for token in (older, newer)]

    assert_error(responses[0], 400, "SPENT_TOKEN", "token")
    assert responses[1].status_code == 200


@pytest.mark.parametrize("kind", ["access", "refresh", "verify", "unknown"])
def test_reset_password_refuses_a_token_of_another_kind_without_hashing(
    anonymous: TestClient, db: Session, hashes: list[str], kind: str
) -> None:
    user = make_user(db, email=EMAIL, password=OLD, is_verified=False)
    login = make_login(db, user=user)
    anonymous.post("/api/v1/auth/email/verify", json={"email": EMAIL})
    tokens = {
        "access": login.access_token,
        "refresh": login.refresh_token,
        "verify": last_token(db),
        "unknown": "x" * 43,
    }
    hashes.clear()

    response = reset(anonymous, tokens[kind])

    assert_error(response, 400, "SPENT_TOKEN", "token")
    assert hashes == []


@pytest.mark.parametrize("deed", ["deactivate", "deactivate and activate", "delete", "new e-mail"])
def test_reset_password_refuses_a_token_of_an_account_that_changed_meanwhile(
    anonymous: TestClient, as_admin: TestClient, db: Session, ann: User, deed: str
) -> None:
    token, url = reset_token(anonymous, db), f"/api/v1/users/{ann.id}"
    if deed == "delete":
        as_admin.delete(url)
        make_user(db, email=EMAIL, password=OLD)  # Who has the address now.
    elif deed == "new e-mail":
        as_admin.patch(url, json={"email": "ann.lee@example.com"})
    else:
        as_admin.patch(url, json={"is_active": False})
    if deed == "deactivate and activate":
        as_admin.patch(url, json={"is_active": True})

    response = reset(anonymous, token)

    assert_error(response, 400, "SPENT_TOKEN", "token")
    assert sign_in(anonymous, NEW) == 401


def test_reset_password_refuses_a_token_of_the_address_before_even_if_it_is_back(
    anonymous: TestClient, as_admin: TestClient, db: Session, ann: User
) -> None:
    token, url = reset_token(anonymous, db), f"/api/v1/users/{ann.id}"
    for email in ("ann.lee@example.com", EMAIL):
        as_admin.patch(url, json={"email": email})

    response = reset(anonymous, token)

    assert_error(response, 400, "SPENT_TOKEN", "token")


def test_reset_password_refuses_a_token_once_the_password_was_changed(
    anonymous: TestClient, db: Session, login: Login
) -> None:
    token = reset_token(anonymous, db)
    change(anonymous, login)

    response = reset(anonymous, token, "carpets-on-sunday")

    assert_error(response, 400, "SPENT_TOKEN", "token")


def test_reset_password_refused_for_the_password_leaves_the_token_good(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    token = reset_token(anonymous, db)

    responses = [reset(anonymous, token, password) for password in ("password1", "AnnLee", NEW)]

    assert_error(responses[0], 422, "PASSWORD_TOO_EASY", "password")
    assert_error(responses[1], 422, "INVALID_REQUEST", "password")
    assert responses[2].status_code == 200


def test_reset_password_takes_an_invitation_for_a_week_and_once(
    anonymous: TestClient, as_admin: TestClient, db: Session
) -> None:
    as_admin.post("/api/v1/users/", json={"email": EMAIL})
    token = last_token(db)

    with later(days=6.9):
        responses = [reset(anonymous, token) for _ in range(2)]
        assert sign_in(anonymous, NEW) == 200

    assert [response.status_code for response in responses] == [200, 400]
    assert letters(db) == [("invitation", EMAIL)]


def test_reset_password_takes_no_invitation_after_a_week(
    anonymous: TestClient, as_admin: TestClient, db: Session
) -> None:
    as_admin.post("/api/v1/users/", json={"email": EMAIL})
    token = last_token(db)

    with later(days=7.1):
        response = reset(anonymous, token)

    assert_error(response, 400, "SPENT_TOKEN", "token")


def test_reset_password_by_one_link_ends_the_other(
    anonymous: TestClient, as_admin: TestClient, db: Session
) -> None:
    as_admin.post("/api/v1/users/", json={"email": EMAIL})
    invitation = last_token(db)
    reset(anonymous, reset_token(anonymous, db))

    response = reset(anonymous, invitation, "carpets-on-sunday")

    assert_error(response, 400, "SPENT_TOKEN", "token")
    assert db.scalars(select(OneTimeToken).where(OneTimeToken.used_at.is_(None))).all() == []


# --- Changing one's own.


def test_change_my_password_sets_it_and_ends_the_other_sessions(
    anonymous: TestClient, db: Session, ann: User, login: Login
) -> None:
    other = make_login(db, user=ann)

    response = change(anonymous, login)

    assert (response.status_code, response.content) == (204, b"")
    assert (sign_in(anonymous, OLD), sign_in(anonymous, NEW)) == (401, 200)
    assert is_signed_in(anonymous, login)
    assert not is_signed_in(anonymous, other)


def test_change_my_password_tells_the_owner_and_the_audit(
    anonymous: TestClient, db: Session, ann: User, login: Login
) -> None:
    change(anonymous, login)

    event = db.scalars(select(AuditEvent)).one()
    assert letters(db) == [("password_changed", EMAIL)]
    assert (event.action, event.actor_id, event.resource_id) == ("password_changed", ann.id, ann.id)


def test_change_my_password_needs_the_current_one(
    anonymous: TestClient, db: Session, ann: User, login: Login
) -> None:
    other = make_login(db, user=ann)

    response = change(anonymous, login, current="carpets-on-sunday")

    assert_error(response, 403, "CURRENT_PASSWORD_WRONG", "current_password")
    assert sign_in(anonymous, OLD) == 200
    assert is_signed_in(anonymous, other)


def test_change_my_password_is_not_for_who_has_none(anonymous: TestClient, db: Session) -> None:
    login = make_login(db, user=make_user(db))

    response = change(anonymous, login, current="")

    assert_error(response, 403, "CURRENT_PASSWORD_WRONG", "current_password")


def test_change_my_password_refuses_the_present_one(anonymous: TestClient, login: Login) -> None:
    response = change(anonymous, login, new=OLD)

    assert_error(response, 422, "PASSWORD_TOO_EASY", "new_password")


def test_change_my_password_asks_for_a_login(anonymous: TestClient) -> None:
    response = anonymous.post(CHANGE, json={"current_password": OLD, "new_password": NEW})

    assert_error(response, 401, "NOT_AUTHENTICATED")


@pytest.mark.parametrize("field", ["current_password", "new_password"])
def test_change_my_password_names_a_missing_field(
    anonymous: TestClient, login: Login, field: str
) -> None:
    body = {"current_password": OLD, "new_password": NEW}
    del body[field]

    response = anonymous.post(CHANGE, json=body, headers=bearer(login))

    assert_error(response, 422, "INVALID_REQUEST", field)


def test_change_my_password_at_once_is_done_once(
    anonymous: TestClient, db: Session, ann: User
) -> None:
    passwords = [f"{NEW}-{number}" for number in range(3)]
    logins = [make_login(db, user=ann) for _ in passwords]

    def changing(login: Login, password: str) -> Call:
        return lambda: change(anonymous, login, new=password)

    responses = at_once([changing(*each) for each in zip(logins, passwords, strict=True)])

    done = [response.status_code for response in responses]
    assert done.count(204) == 1
    assert set(done) <= {204, 401, 403}
    assert [sign_in(anonymous, password) for password in passwords] == [
        200 if status == 204 else 401 for status in done
    ]


# --- Which passwords are taken, wherever one is set.

SetPassword = Callable[[str], Response]
WAYS = pytest.mark.parametrize("way", ["registration", "reset", "change", "admin"])


@pytest.fixture
def set_password(
    anonymous: TestClient,
    as_admin: TestClient,
    client_of: Callable[[User], TestClient],
    db: Session,
    hashes: list[str],
    way: str,
) -> Iterator[SetPassword]:
    """The one way to set ann's password that the test is about."""

    def set_password(password: str) -> Response:
        return client.request(
            method,
            url,
            # A lone surrogate goes through only in ASCII.
            content=json.dumps(body | {field_of(way): password}),
            headers={"Content-Type": "application/json"},
        )

    body: dict[str, str] = {}
    client, method, url = anonymous, "POST", RESET
    if way == "registration":
        url, body = "/api/v1/auth/register", {"email": EMAIL, "username": "annlee-2"}
    else:
        user = make_user(db, email=EMAIL, username="annlee-2", password=OLD)
        if way == "reset":
            body = {"token": reset_token(anonymous, db)}
        elif way == "change":
            client, url, body = client_of(user), CHANGE, {"current_password": OLD}
        else:
            client, method, url = as_admin, "PATCH", f"/api/v1/users/{user.id}"
    hashes.clear()
    with changed_settings(OPEN_REGISTRATION="true"):
        yield set_password


def field_of(way: str) -> str:
    return "new_password" if way == "change" else "password"


@WAYS
@pytest.mark.parametrize(
    "password",
    ["8 chars!", "x" * 127 + "!", "🦊" * 128, " Zwölf 🦊 jagen ", "x" * 72 + "one"],
    ids=["8", "128", "emoji", "blanks", "beyond 72 bytes"],
)
def test_password_of_8_to_128_characters_is_taken_to_the_letter(
    anonymous: TestClient, set_password: SetPassword, password: str
) -> None:
    response = set_password(password)

    assert response.is_success, response.text
    assert sign_in(anonymous, password) == 200
    assert sign_in(anonymous, f"{password[:-1]}?") == 401


@WAYS
@pytest.mark.parametrize(
    "password",
    ["7 chars", "🦊" * 7, "x" * 129, "x" * 5000, "wallpaper\0", "wallpaper\ud800"],
    ids=lambda password: ascii(password[:20]),
)
def test_password_of_another_form_is_refused_without_hashing(
    set_password: SetPassword, hashes: list[str], way: str, password: str
) -> None:
    response = set_password(password)

    assert_error(response, 422, "INVALID_REQUEST", field_of(way))
    assert hashes == []


@WAYS
@pytest.mark.parametrize(
    "password",
    [
        "password1",
        "PassWord1",
        "Ann@EXAMPLE.com",
        "AnnLee-2",
        "12345678 ",
        "\u00a0PassWord1\n",
        "\uff50assword1",
        "pass\u200bword1",
        " " * 8,
        "\n" * 9,
        "\t \u3000" * 3,
        "\u200d" * 8,
        "\u2800" * 128,
        "\u00ad\u3164" * 4,
        " annlee-2 ",
        "\uff21\uff2e\uff2eLEE-2",
        "ann\uff20example.com",
    ],
    ids=ascii,
)
def test_password_that_is_easy_is_refused_without_hashing(
    set_password: SetPassword, hashes: list[str], way: str, password: str
) -> None:
    response = set_password(password)

    assert_error(response, 422, "PASSWORD_TOO_EASY", field_of(way))
    assert hashes == []


@pytest.mark.parametrize("password", ["ann@münchen.example", "ANN@mu\u0308nchen.example"])
def test_password_that_is_the_international_address_is_refused(
    as_admin: TestClient, password: str
) -> None:
    body = {"email": "ann@münchen.example", "password": password}

    response = as_admin.post("/api/v1/users/", json=body)

    assert_error(response, 422, "PASSWORD_TOO_EASY", "password")


@WAYS
@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ("caf\u00e9-am-fluss", "cafe\u0301-am-fluss"),
        ("cafe\u0301-am-fluss", "caf\u00e9-am-fluss"),
        ("ti\u1ebfng vi\u1ec7t", "tie\u0302\u0301ng vie\u0323\u0302t"),
        ("\ud55c" * 8, "\u1112\u1161\u11ab" * 8),
        ("\ud55c" * 128, "\u1112\u1161\u11ab" * 128),
        ("\ufb01sh-and-chips", "fish-and-chips"),
        ("wall\u00a0paper", "wall paper"),
        ("\ufdfa" * 128, "\ufdfa" * 128),
    ],
    ids=ascii,
)
def test_password_set_in_one_form_signs_in_typed_in_another(
    anonymous: TestClient, set_password: SetPassword, given: str, typed: str
) -> None:
    response = set_password(given)

    assert response.is_success, response.text
    assert [sign_in(anonymous, one) for one in (typed, given)] == [200, 200]
    assert sign_in(anonymous, f"?{unicodedata.normalize('NFC', typed)[1:]}") == 401


@WAYS
@pytest.mark.parametrize(
    "password", ["e\u0301" * 7, "\ufdfa", "e\u0301" * 129, "\ufb01" * 129], ids=ascii
)
def test_password_is_counted_in_the_form_that_has_fewer_characters(
    set_password: SetPassword, way: str, password: str
) -> None:
    response = set_password(password)

    assert_error(response, 422, "INVALID_REQUEST", field_of(way))


@pytest.mark.parametrize("current", ["caf\u00e9-am-fluss", "cafe\u0301-am-fluss"], ids=ascii)
def test_current_password_is_taken_in_any_form(
    client_of: Callable[[User], TestClient], db: Session, current: str
) -> None:
    ann = make_user(db, password="cafe\u0301-am-fluss")

    moved = client_of(ann).patch(
        "/api/v1/users/me", json={"email": "new@example.com", "current_password": current}
    )
    same = client_of(ann).post(
        CHANGE, json={"current_password": current, "new_password": "caf\u00e9-am-fluss"}
    )
    changed = client_of(ann).post(CHANGE, json={"current_password": current, "new_password": NEW})

    assert (moved.status_code, changed.status_code) == (200, 204)
    assert_error(same, 422, "PASSWORD_TOO_EASY", "new_password")


@WAYS
def test_password_is_hashed_while_no_connection_is_held(
    set_password: SetPassword, held_while_hashing: list[int]
) -> None:
    response = set_password("curtains-on-friday")

    assert response.is_success, response.text
    assert set(held_while_hashing) == {0}
