"""Who did what: each deed leaves an event in its own transaction, and no secret in it."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.cli.__main__ import main
from app.core.clock import utc_now
from app.core.permissions import Role
from app.crud.one_time_token import token_text
from app.main import create_app
from app.models import AuditEvent, Item, LoginSession, OneTimeToken, RefreshToken, User
from app.schemas.letter import LetterStatus
from tests.assertions import assert_error
from tests.browser import LOGIN, PASSWORD, sign_in_by_cookies
from tests.factories import make_item, make_letter, make_session, make_user
from tests.letters import last_token, write_letters
from tests.rows import every_row
from tests.settings import client_with

AUDIT = "/api/v1/audit/"
USERS = "/api/v1/users/"
ME = "/api/v1/users/me"
ITEMS = "/api/v1/items/"
AUTH = "/api/v1/auth"
NEW_PASSWORD = "curtains-on-friday"
EMAIL = "ann@example.com"
FORM = {"username": EMAIL, "password": PASSWORD}

Event = dict[str, Any]


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(db, email=EMAIL, username="annlee", password=PASSWORD)


@pytest.fixture
def as_ann(client_of: Callable[[User], TestClient], ann: User) -> TestClient:
    return client_of(ann)


@pytest.fixture
def told(as_auditor: TestClient) -> Callable[[Response], list[Event]]:
    """Read what the audit tells of one request, in the order of the deeds."""

    def told(response: Response) -> list[Event]:
        asked = {"request_id": response.headers["x-request-id"], "sort": "id"}
        found: list[Event] = as_auditor.get(AUDIT, params=asked).json()
        return found

    return told


Told = Callable[[Response], list[Event]]


def deed(event: Event) -> tuple[str, str, int | None]:
    return event["action"], event["resource_type"], event["resource_id"]


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["backdesk", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


# --- What every event says.


def test_event_tells_who_did_what_when_from_where_in_which_request(
    as_admin: TestClient, told: Told, admin: User, ann: User, db: Session
) -> None:
    session_id = db.scalar(select(LoginSession.id).where(LoginSession.user_id == admin.id))

    response = as_admin.patch(f"{USERS}{ann.id}", json={"full_name": "Ann Lee"})

    (event,) = told(response)
    at = datetime.fromisoformat(event.pop("at"))
    assert at.utcoffset() == timedelta(0)
    assert abs(utc_now() - at) < timedelta(minutes=1)
    assert event.pop("id") > 0
    assert event == {
        "actor_id": admin.id,
        "actor_email": "admin@example.com",
        "action": "update",
        "resource_type": "user",
        "resource_id": ann.id,
        "changes": {"full_name": [None, "Ann Lee"]},
        "request_id": response.headers["x-request-id"],
        "session_id": session_id,
        "ip": "testclient",
    }


def test_event_bears_the_servers_own_request_id(as_user: TestClient, told: Told) -> None:
    response = as_user.patch(ME, json={"full_name": "A"}, headers={"X-Request-ID": "forged"})

    (event,) = told(response)
    assert event["request_id"] != "forged"


def test_event_outlives_who_it_tells_of(
    as_admin: TestClient, as_ann: TestClient, told: Told, ann: User
) -> None:
    response = as_ann.patch(ME, json={"full_name": "Ann Lee"})

    as_admin.delete(f"{USERS}{ann.id}")

    (event,) = told(response)
    assert (event["actor_id"], event["actor_email"]) == (ann.id, EMAIL)


# --- Signing in and out.


def test_login_is_told_of(anonymous: TestClient, told: Told, ann: User, db: Session) -> None:
    response = anonymous.post(LOGIN, data=FORM)

    (event,) = told(response)
    session_id = db.scalar(select(LoginSession.id).where(LoginSession.user_id == ann.id))
    assert deed(event) == ("login", "user", ann.id)
    assert (event["actor_id"], event["actor_email"]) == (ann.id, EMAIL)
    assert (event["session_id"], event["ip"], event["changes"]) == (session_id, "testclient", {})


@pytest.mark.parametrize(
    "values", [{}, {"is_active": False}, {"hashed_password": None}, {"hashed_password": "broken"}]
)
def test_login_refused_is_told_of(
    anonymous: TestClient, told: Told, ann: User, db: Session, values: dict[str, Any]
) -> None:
    for name, value in values.items():
        setattr(ann, name, value)
    db.commit()

    response = anonymous.post(LOGIN, data=FORM | {"password": NEW_PASSWORD})

    (event,) = told(response)
    assert response.status_code == 401
    assert deed(event) == ("login_failed", "user", ann.id)
    assert (event["actor_id"], event["actor_email"], event["session_id"]) == (None, None, None)
    assert event["ip"] == "testclient"


def test_login_of_an_unknown_name_is_told_of_without_the_name(
    anonymous: TestClient, told: Told, db: Session
) -> None:
    typed = "my-password-typed-into-the-wrong-field"

    response = anonymous.post(LOGIN, data={"username": typed, "password": PASSWORD})

    (event,) = told(response)
    assert response.status_code == 401
    assert deed(event) == ("login_failed", "user", None)
    assert typed not in str(every_row(db))


def test_refresh_is_told_of_when_a_spent_token_ends_the_session(
    anonymous: TestClient, told: Told, ann: User, db: Session
) -> None:
    body = {"refresh_token": anonymous.post(LOGIN, data=FORM).json()["refresh_token"]}
    anonymous.post(f"{AUTH}/refresh", json=body)
    db.execute(
        update(RefreshToken)
        .where(RefreshToken.spent_at.is_not(None))
        .values(spent_at=utc_now() - timedelta(minutes=1))
    )

    response = anonymous.post(f"{AUTH}/refresh", json=body)

    (event,) = told(response)
    session_id = db.scalar(select(LoginSession.id).where(LoginSession.user_id == ann.id))
    assert response.status_code == 401
    assert deed(event) == ("refresh_refused", "user", ann.id)
    assert (event["actor_id"], event["session_id"]) == (None, session_id)


@pytest.mark.parametrize(("path", "action"), [("logout", "logout"), ("logout-all", "logout_all")])
def test_logout_is_told_of_once(
    as_ann: TestClient, told: Told, ann: User, db: Session, path: str, action: str
) -> None:
    session_id = db.scalar(select(LoginSession.id).where(LoginSession.user_id == ann.id))

    first, second = (as_ann.post(f"{AUTH}/{path}") for _ in range(2))

    (event,) = told(first)
    assert deed(event) == (action, "user", ann.id)
    assert (event["actor_id"], event["actor_email"]) == (ann.id, EMAIL)
    assert event["session_id"] == session_id
    assert told(second) == []


@pytest.mark.parametrize("form", ["body", "cookie"])
def test_logout_is_told_of_however_the_session_is_named(
    anonymous: TestClient, told: Told, ann: User, form: str
) -> None:
    if form == "cookie":
        anonymous.headers["X-CSRF-Token"] = sign_in_by_cookies(anonymous, EMAIL)
        response = anonymous.post(f"{AUTH}/logout")
    else:
        token = anonymous.post(LOGIN, data=FORM).json()["refresh_token"]
        response = anonymous.post(f"{AUTH}/logout", json={"refresh_token": token})

    (event,) = told(response)
    assert deed(event) == ("logout", "user", ann.id)
    assert (event["actor_id"], event["actor_email"]) == (ann.id, EMAIL)


def test_end_my_session_is_told_of(as_ann: TestClient, told: Told, ann: User, db: Session) -> None:
    other = make_session(db, user=ann)

    response = as_ann.delete(f"{AUTH}/sessions/{other.id}")

    (event,) = told(response)
    assert deed(event) == ("session_ended", "session", other.id)
    assert event["actor_id"] == ann.id


def test_end_user_sessions_is_told_of(
    as_admin: TestClient, told: Told, admin: User, ann: User, db: Session
) -> None:
    make_session(db, user=ann)

    response = as_admin.delete(f"{USERS}{ann.id}/sessions")

    (event,) = told(response)
    assert deed(event) == ("sessions_ended", "user", ann.id)
    assert event["actor_id"] == admin.id


# --- Passwords.


def test_change_my_password_is_told_of(as_ann: TestClient, told: Told, ann: User) -> None:
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    response = as_ann.post(f"{ME}/password", json=change)

    (event,) = told(response)
    assert deed(event) == ("password_changed", "user", ann.id)
    assert (event["actor_id"], event["changes"]) == (ann.id, {})


def test_reset_password_is_told_of(
    anonymous: TestClient, told: Told, ann: User, db: Session
) -> None:
    """Whoever holds the letter is the account's owner; no session is there yet."""
    anonymous.post(f"{AUTH}/password/forgot", json={"email": EMAIL})
    token = last_token(db)

    response = anonymous.post(
        f"{AUTH}/password/reset", json={"token": token, "password": NEW_PASSWORD}
    )

    (event,) = told(response)
    assert response.status_code == 200, response.text
    assert deed(event) == ("password_changed", "user", ann.id)
    assert (event["actor_id"], event["actor_email"]) == (ann.id, EMAIL)
    assert event["session_id"] is None


def test_update_user_is_told_of_when_it_sets_a_password(
    as_admin: TestClient, told: Told, admin: User, ann: User
) -> None:
    response = as_admin.patch(
        f"{USERS}{ann.id}", json={"password": NEW_PASSWORD, "must_change_password": True}
    )

    update_, change = told(response)
    assert update_["changes"] == {"must_change_password": [False, True]}
    assert deed(change) == ("password_changed", "user", ann.id)
    assert change["actor_id"] == admin.id


# --- Records.


def test_create_user_is_told_of_with_every_field(
    as_admin: TestClient, told: Told, admin: User
) -> None:
    response = as_admin.post(
        USERS, json={"email": "Ben@Example.com", "password": PASSWORD, "department": "Sales"}
    )

    (event,) = told(response)
    assert deed(event) == ("create", "user", response.json()["id"])
    assert event["actor_id"] == admin.id
    assert event["changes"] == {
        "email": [None, "ben@example.com"],
        "username": [None, "ben"],
        "department": [None, "Sales"],
        "role": [None, "user"],
        "is_active": [None, True],
        "is_verified": [None, True],
        "must_change_password": [None, False],
        "token_quota": [None, 100_000],
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"role": ["user", "auditor"]},
        {"is_active": [True, False]},
        {"is_verified": [True, False]},
        {"token_quota": [1000, None]},
        {"department": [None, "Sales"], "full_name": [None, "Ann Lee"]},
        {"email": [EMAIL, "lee@example.com"], "username": ["annlee", "lee"]},
    ],
)
def test_update_user_is_told_of_with_before_and_after(
    as_admin: TestClient, told: Told, ann: User, changes: dict[str, list[Any]]
) -> None:
    response = as_admin.patch(
        f"{USERS}{ann.id}", json={name: after for name, (_, after) in changes.items()}
    )

    (event,) = told(response)
    assert deed(event) == ("update", "user", ann.id)
    assert event["changes"] == changes


def test_update_user_is_told_of_without_what_stays(
    as_admin: TestClient, told: Told, ann: User
) -> None:
    record = as_admin.get(f"{USERS}{ann.id}").json()

    changed = as_admin.put(f"{USERS}{ann.id}", json=record | {"full_name": "Ann"})
    same = as_admin.put(f"{USERS}{ann.id}", json=record | {"full_name": "Ann"})
    empty = as_admin.patch(f"{USERS}{ann.id}", json={})

    assert [event["changes"] for event in told(changed)] == [{"full_name": [None, "Ann"]}]
    assert told(same) == told(empty) == []


def test_update_me_is_told_of_when_the_address_changes(
    as_ann: TestClient, told: Told, ann: User
) -> None:
    response = as_ann.patch(ME, json={"email": "lee@example.com", "current_password": PASSWORD})

    (event,) = told(response)
    assert event["changes"] == {"email": [EMAIL, "lee@example.com"], "is_verified": [True, False]}
    assert event["actor_email"] == EMAIL


@pytest.mark.parametrize("own", [True, False])
def test_delete_user_is_told_of(
    as_admin: TestClient, as_ann: TestClient, told: Told, ann: User, admin: User, own: bool
) -> None:
    response = as_ann.delete(ME) if own else as_admin.delete(f"{USERS}{ann.id}")

    (event,) = told(response)
    assert deed(event) == ("delete", "user", ann.id)
    assert event["actor_id"] == (ann.id if own else admin.id)


def test_item_is_told_of_from_its_creation_to_its_deletion(
    as_user: TestClient, told: Told, user: User
) -> None:
    created = as_user.post(ITEMS, json={"title": "Lamp"})
    url = f"{ITEMS}{created.json()['id']}"
    updated = as_user.patch(url, json={"title": "Shelf", "description": "Oak", "status": "draft"})
    deleted = as_user.delete(url)

    events = [event for response in (created, updated, deleted) for event in told(response)]
    item_id = created.json()["id"]
    assert [deed(event) for event in events] == [
        (action, "item", item_id) for action in ("create", "update", "delete")
    ]
    assert {event["actor_id"] for event in events} == {user.id}
    assert [event["changes"] for event in events] == [
        {
            "title": [None, "Lamp"],
            "status": [None, "draft"],
            "owner_id": [None, user.id],
        },
        {"title": ["Lamp", "Shelf"], "description": [None, "Oak"]},
        {},
    ]


def test_update_item_is_told_of_when_it_changes_hands(
    as_admin: TestClient, told: Told, user: User, ann: User, db: Session
) -> None:
    item = make_item(db, owner=user)

    response = as_admin.patch(f"{ITEMS}{item.id}", json={"owner_id": ann.id})

    (event,) = told(response)
    assert event["changes"] == {"owner_id": [user.id, ann.id]}


def test_register_and_confirm_verification_are_told_of(as_auditor: TestClient, db: Session) -> None:
    with client_with(OPEN_REGISTRATION="true") as client:
        registered = client.post(f"{AUTH}/register", json={"email": EMAIL, "password": PASSWORD})
        token = last_token(db)
        client.post(f"{AUTH}/email/verify/confirm", json={"token": token})

    created, verified = as_auditor.get(AUDIT, params={"sort": "id"}).json()
    user_id = db.scalar(select(User.id).where(User.email == EMAIL))
    assert registered.status_code == 201
    assert (deed(created), created["actor_id"]) == (("create", "user", user_id), None)
    assert (deed(verified), verified["actor_id"]) == (("update", "user", user_id), user_id)
    assert verified["changes"] == {"is_verified": [False, True]}


# --- The command line.


def test_create_admin_is_told_of_without_an_actor(
    as_auditor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_command(monkeypatch, "create-admin", "--if-missing")

    (event,) = as_auditor.get(AUDIT).json()
    assert event["action"] == "create"
    assert event["changes"]["role"] == [None, "admin"]
    about_a_request = ("actor_id", "actor_email", "request_id", "session_id", "ip")
    assert {event[name] for name in about_a_request} == {None}


def test_reset_password_on_the_command_line_is_told_of_without_an_actor(
    as_auditor: TestClient, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_command(monkeypatch, "reset-password", EMAIL)

    (event,) = as_auditor.get(AUDIT).json()
    assert deed(event) == ("password_changed", "user", ann.id)
    assert (event["actor_id"], event["request_id"], event["ip"]) == (None, None, None)


# --- What is refused leaves no event of a deed.


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "users/", {"email": "ben@example.com"}, 403),
        ("PATCH", "users/me", {"role": "admin"}, 403),
        ("PATCH", "users/me", {"email": "lee@example.com", "current_password": "wrong"}, 403),
        ("POST", "users/me/password", {"current_password": "x", "new_password": PASSWORD}, 403),
        ("PATCH", "users/me", {"username": "taken"}, 409),
        ("PATCH", "users/me", {"full_name": 5}, 422),
        ("PATCH", "items/999999", {"title": "Shelf"}, 404),
        ("PATCH", "items/{foreign}", {"title": "Shelf"}, 404),
        ("DELETE", "items/{foreign}", None, 404),
        ("DELETE", "auth/sessions/999999", None, 404),
        ("POST", "items/", {"title": ""}, 422),
        ("DELETE", "audit/", None, 405),
    ],
)
def test_refusal_is_told_of_by_no_event(
    as_ann: TestClient, db: Session, method: str, path: str, body: Any, status: int
) -> None:
    other = make_user(db, username="taken")
    url = f"/api/v1/{path}".format(foreign=make_item(db, owner=other).id)
    before = every_row(db)

    response = as_ann.request(method, url, json=body)

    assert response.status_code == status, response.text
    assert every_row(db) == before


@pytest.fixture
def lose_audit(db: Session) -> Iterator[Callable[[], None]]:
    """Take the audit's table away, from the call on."""
    name, elsewhere = AuditEvent.__tablename__, "audit_elsewhere"
    is_lost = False

    def lose_audit() -> None:
        nonlocal is_lost
        db.connection().exec_driver_sql(f"ALTER TABLE {name} RENAME TO {elsewhere}")
        is_lost = True

    yield lose_audit
    if is_lost:
        db.connection().exec_driver_sql(f"ALTER TABLE {elsewhere} RENAME TO {name}")


def test_deed_that_cannot_be_told_of_is_not_done(
    as_ann: TestClient, ann: User, db: Session, lose_audit: Callable[[], None]
) -> None:
    item = make_item(db, owner=ann, title="Lamp")
    lose_audit()

    responses = [
        as_ann.post(ITEMS, json={"title": "Shelf"}),
        as_ann.patch(f"{ITEMS}{item.id}", json={"title": "Shelf"}),
        as_ann.delete(f"{ITEMS}{item.id}"),
        as_ann.post(LOGIN, data=FORM),
        as_ann.post(f"{AUTH}/logout"),
    ]

    db.expire_all()
    assert {response.status_code // 100 for response in responses} == {5}
    assert db.execute(select(Item.title, Item.deleted_at)).all() == [("Lamp", None)]
    assert list(db.scalars(select(LoginSession.ended_at))) == [None]


# --- No secret.


def test_events_hold_no_secret(
    anonymous: TestClient, as_admin: TestClient, db: Session, told: Told
) -> None:
    """Everything is done that knows a password, a token or a cookie."""
    secrets = {PASSWORD, NEW_PASSWORD, "a-third-password", "a-wrong-password"}
    created = as_admin.post(USERS, json={"email": EMAIL, "password": PASSWORD}).json()
    as_admin.post(USERS, json={"email": "invited@example.com"})
    as_admin.patch(f"{USERS}{created['id']}", json={"password": PASSWORD[::-1]})
    as_admin.patch(f"{USERS}{created['id']}", json={"password": PASSWORD})
    anonymous.post(LOGIN, data=FORM | {"password": "a-wrong-password"})
    tokens = anonymous.post(LOGIN, data=FORM).json()
    body = {"refresh_token": tokens["refresh_token"]}
    renewed = anonymous.post(f"{AUTH}/refresh", json=body).json()
    bearer = {"Authorization": f"Bearer {renewed['access_token']}"}
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    anonymous.post(f"{ME}/password", json=change, headers=bearer)
    address = {"email": "lee@example.com", "current_password": NEW_PASSWORD}
    anonymous.patch(ME, json=address, headers=bearer)
    anonymous.post(f"{AUTH}/password/forgot", json={"email": "lee@example.com"})
    write_letters()
    one_time = {token_text(token) for token in db.scalars(select(OneTimeToken))}
    for token in one_time:
        reset = {"token": token, "password": "a-third-password"}
        anonymous.post(f"{AUTH}/password/reset", json=reset)
        anonymous.post(f"{AUTH}/email/verify/confirm", json={"token": token})
    anonymous.post(f"{AUTH}/logout", json={"refresh_token": renewed["refresh_token"]})
    secrets |= {PASSWORD[::-1], *one_time, *stored_secrets(db)}
    secrets |= {given[name] for given in (tokens, renewed) for name in given if "_token" in name}

    events = json.dumps([event.changes for event in db.scalars(select(AuditEvent))])
    rows = str(every_row(db)["audit_events"]) + events

    actions = set(db.scalars(select(AuditEvent.action)))
    assert actions >= {"create", "update", "login", "login_failed", "password_changed"}
    assert len(secrets) > 15
    assert {secret for secret in secrets if secret in rows} == set()
    assert "argon2" not in rows


def stored_secrets(db: Session) -> set[str]:
    columns = (
        User.hashed_password,
        RefreshToken.token_hash,
        OneTimeToken.token_hash,
        OneTimeToken.nonce,
    )
    return {value for column in columns for value in db.scalars(select(column)) if value}


# --- Reading it.


@pytest.fixture
def events(as_admin: TestClient, as_user: TestClient, user: User) -> list[Event]:
    """Five events: three of the admin, two of the user."""
    as_admin.patch(f"{USERS}{user.id}", json={"full_name": "A"})
    as_admin.patch(f"{USERS}{user.id}", json={"full_name": "B"})
    as_admin.post(ITEMS, json={"title": "Lamp"})
    as_user.post(ITEMS, json={"title": "Shelf"})
    as_user.delete(ME)
    found: list[Event] = as_admin.get(AUDIT, params={"sort": "id"}).json()
    return found


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("action=update", [0, 1]),
        ("action=create&action=delete", [2, 3, 4]),
        ("action_ne=update", [2, 3, 4]),
        ("resource_type=item", [2, 3]),
        ("resource_type=user&resource_id={user}", [0, 1, 4]),
        ("actor_id={user}", [3, 4]),
        ("actor_email=user@example.com", [3, 4]),
        ("actor_email_like=ADMIN", [0, 1, 2]),
        ("request_id={request}", [2]),
        ("session_id={session}", [3, 4]),
        ("ip=testclient", [0, 1, 2, 3, 4]),
        ("ip=192.0.2.1", []),
        ("at_gte={at}", [3, 4]),
        ("at_lt={at}", [0, 1, 2]),
        ("q=item", [2, 3]),
        ("q=user@", [3, 4]),
        ("sort=-at", [4, 3, 2, 1, 0]),
        ("sort=at,-id", [0, 1, 2, 3, 4]),
        ("skip=1&limit=2", [1, 2]),
    ],
)
def test_get_audit_finds_events(
    as_auditor: TestClient, events: list[Event], user: User, query: str, places: list[int]
) -> None:
    values = {
        "user": user.id,
        "request": events[2]["request_id"],
        "session": events[3]["session_id"],
        "at": events[3]["at"],
    }

    response = as_auditor.get(f"{AUDIT}?{query.format(**values)}")

    assert response.json() == [events[place] for place in places]
    assert response.headers["x-total-count"] == str(5 if "skip" in query else len(places))


@pytest.mark.parametrize("sort", ["id", "-id", "at", "-at"])
def test_get_audit_walks_by_cursor(as_auditor: TestClient, events: list[Event], sort: str) -> None:
    seen: list[Event] = []
    place: dict[str, str] = {}
    while True:
        page = as_auditor.get(AUDIT, params={"sort": sort, "limit": "2"} | place)
        seen += page.json()
        if "x-next-cursor" not in page.headers:
            break
        place = {"after": page.headers["x-next-cursor"]}

    assert seen == as_auditor.get(AUDIT, params={"sort": sort}).json()
    assert len(seen) == len(events)


@pytest.mark.parametrize(
    "query",
    [
        "changes=x",
        "sort=changes",
        "hashed_password=x",
        "id=one",
        "resource_type=users",
        "action=created",
    ],
)
def test_get_audit_refuses_what_it_cannot_filter_by(as_auditor: TestClient, query: str) -> None:
    response = as_auditor.get(f"{AUDIT}?{query}")

    assert_error(response, 422, "INVALID_REQUEST", query.partition("=")[0])


@pytest.mark.parametrize("field", ["action", "resource_type"])
def test_get_audit_names_the_choices(as_auditor: TestClient, field: str) -> None:
    refused = as_auditor.get(AUDIT, params={field: "users"})

    paths = as_auditor.get("/api/v1/openapi.json").json()["paths"]
    (documented,) = [
        one for one in paths[AUDIT.rstrip("/")]["get"]["parameters"] if one["name"] == field
    ]
    choices = documented["schema"]["items"]["enum"]
    assert ("create" if field == "action" else "user") in choices
    assert all(f"'{choice}'" in refused.json()["errors"][field] for choice in choices)


def test_get_audit_finds_every_event_by_its_action_and_type(
    as_admin: TestClient, events: list[Event], db: Session, user: User
) -> None:
    letter = make_letter(db, status=LetterStatus.DEAD)
    as_admin.post("/api/v1/jobs/clean-up/run")
    as_admin.post(f"/api/v1/letters/{letter.id}/resend")
    for listed in ("users", "items", "usage", "audit"):
        as_admin.get(f"/api/v1/{listed}/export")
    as_admin.post(f"/api/v1/audit/{events[2]['request_id']}/revert")
    session = make_session(db, user=user)
    as_admin.delete(f"/api/v1/auth/sessions/{session.id}")
    as_admin.delete(f"/api/v1/users/{user.id}/sessions")
    as_admin.delete("/api/v1/auth/sessions/999999")
    found = as_admin.get(AUDIT).json()

    for field in ("action", "resource_type"):
        for value in {event[field] for event in found}:
            those = as_admin.get(AUDIT, params={field: value}).json()
            assert those == [event for event in found if event[field] == value]
    types = {event["resource_type"] for event in found}
    assert types >= {"audit", "item", "job", "letter", "request", "usage", "user"}


def test_get_audit_event_shows_one(as_auditor: TestClient, events: list[Event]) -> None:
    response = as_auditor.get(f"{AUDIT}{events[1]['id']}")

    assert response.json() == events[1]


@pytest.mark.parametrize("event_id", ["999999", "abc", "7f4084d9f512ea220561873b"])
def test_get_audit_event_that_is_not_there_is_404(as_auditor: TestClient, event_id: str) -> None:
    assert_error(as_auditor.get(f"{AUDIT}{event_id}"), 404, "AUDIT_EVENT_NOT_FOUND")


def test_get_audit_event_is_for_those_who_may_list(
    client_of: Callable[[User], TestClient], db: Session, events: list[Event]
) -> None:
    manager = client_of(make_user(db, role=Role.MANAGER, department="Sales"))

    assert_error(manager.get(f"{AUDIT}{events[0]['id']}"), 403, "PERMISSION_DENIED")


@pytest.mark.parametrize("role", [Role.USER, Role.MANAGER])
def test_get_audit_is_for_admins_and_auditors(
    client_of: Callable[[User], TestClient], db: Session, events: list[Event], role: Role
) -> None:
    client = client_of(make_user(db, role=role, department="Sales"))

    response = client.get(AUDIT)

    assert_error(response, 403, "PERMISSION_DENIED")


# --- Nothing changes it.


def test_no_route_changes_the_audit() -> None:
    methods = {
        method
        for context in iter_route_contexts(create_app().routes)
        if "/audit" in str(context.path) and not str(context.path).endswith("/revert")
        for method in context.methods or ()
    }

    assert methods == {"GET"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_events_cannot_be_changed(
    as_admin: TestClient, events: list[Event], db: Session, method: str
) -> None:
    before = every_row(db)["audit_events"]

    responses = [
        as_admin.request(method, url, json={"action": "nothing"})
        for url in (AUDIT, f"{AUDIT}{events[0]['id']}", f"{AUDIT}{events[0]['request_id']}")
    ]

    assert [response.status_code for response in responses] == [405, 405, 405]
    assert every_row(db)["audit_events"] == before
