import base64
import json
import threading
import time
import unicodedata
from typing import Any

import pytest
from argon2 import PasswordHasher, low_level
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.security import HASHES_AT_ONCE, verify_password
from app.models import AuditEvent, LoginSession, User
from tests.assertions import assert_error, what_tells
from tests.factories import make_user
from tests.racing import at_once, statuses

URL = "/api/v1/auth/login"
PASSWORD = "wallpaper-on-tuesday"
OLD_HASHER = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=2)  # Yesterday's cost.

# The account that a refused login asks for, or not quite.
REFUSED: dict[str, dict[str, Any]] = {
    "unknown": {"email": "bob@example.com", "username": "bob", "password": PASSWORD},
    "wrong password": {"password": "curtains-on-friday"},
    "inactive": {"password": PASSWORD, "is_active": False},
    "deleted": {"password": PASSWORD, "deleted_at": utc_now()},
    "without a password": {"hashed_password": None},
    "unreadable hash": {"hashed_password": "not-a-hash"},
    "broken hash": {"hashed_password": "$argon2id$v=19$broken"},
    "foreign hash": {"hashed_password": "$2b$12$" + "a" * 53},
}


def make_ann(db: Session, **values: Any) -> User:
    return make_user(db, **{"email": "ann@example.com", "username": "annlee"} | values)


def sign_in(client: TestClient, username: str, password: str = PASSWORD) -> Response:
    return client.post(URL, data={"username": username, "password": password})


def test_login_gives_a_bearer_token(anonymous: TestClient, db: Session) -> None:
    user = make_ann(db, password=PASSWORD)

    response = sign_in(anonymous, "ann@example.com")

    body = response.json()
    assert response.status_code == 200
    assert (body["token_type"].lower(), body["expires_in"]) == ("bearer", 15 * 60)
    bearer = {"Authorization": f"Bearer {body['access_token']}"}
    assert anonymous.get("/api/v1/users/me", headers=bearer).json()["id"] == user.id


def test_login_gives_a_refresh_token_of_256_bits(anonymous: TestClient, db: Session) -> None:
    make_ann(db, password=PASSWORD)

    tokens = {sign_in(anonymous, "annlee").json()["refresh_token"] for _ in range(2)}

    assert len(tokens) == 2
    assert {len(base64.urlsafe_b64decode(token + "=")) for token in tokens} == {32}


def test_login_is_stored_by_no_cache(anonymous: TestClient, db: Session) -> None:
    make_ann(db, password=PASSWORD)

    response = sign_in(anonymous, "ann@example.com")

    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["ann@example.com", "ANN@Example.COM", "annlee", "AnnLee"])
def test_login_takes_e_mail_and_user_name_in_any_case(
    anonymous: TestClient, db: Session, name: str
) -> None:
    make_ann(db, password=PASSWORD)

    response = sign_in(anonymous, name)

    assert response.status_code == 200


def test_login_takes_an_international_address_as_it_was_registered(
    as_admin: TestClient, anonymous: TestClient
) -> None:
    address = "ann@Bücher.example"
    as_admin.post("/api/v1/users/", json={"email": address, "password": PASSWORD})

    response = sign_in(anonymous, address)

    assert response.status_code == 200


def test_login_takes_the_whole_oauth2_form(anonymous: TestClient, db: Session) -> None:
    make_ann(db, password=PASSWORD)
    form = {"grant_type": "password", "scope": "", "client_id": "panel", "client_secret": "none"}

    response = anonymous.post(URL, data={"username": "annlee", "password": PASSWORD, **form})

    assert response.status_code == 200


def test_login_takes_the_password_to_the_letter(anonymous: TestClient, db: Session) -> None:
    password = " Zwölf 🦊 jagen "
    make_ann(db, password=password)

    statuses = [
        sign_in(anonymous, "annlee", attempt).status_code
        for attempt in (password, password.strip(), password.upper(), password.replace("ö", "o"))
    ]

    assert statuses == [200, 401, 401, 401]


def test_login_takes_percent_signs_in_a_password(anonymous: TestClient, db: Session) -> None:
    """What stands for itself in a form is no byte of another encoding."""
    make_ann(db, password="50%ff-wallpaper")

    response = sign_in(anonymous, "annlee", "50%ff-wallpaper")

    assert response.status_code == 200


def test_login_compares_passwords_to_their_end(anonymous: TestClient, db: Session) -> None:
    make_ann(db, password="x" * 127 + "a")

    response = sign_in(anonymous, "annlee", "x" * 127 + "b")

    assert_error(response, 401, "INVALID_CREDENTIALS")


def test_login_notes_the_moment_and_changes_nothing_else(
    anonymous: TestClient, as_admin: TestClient, db: Session
) -> None:
    url = f"/api/v1/users/{make_ann(db, password=PASSWORD).id}"
    before = as_admin.get(url).json()

    sign_in(anonymous, "annlee")

    after = as_admin.get(url).json()
    assert before["last_login_at"] is None
    assert after["last_login_at"] is not None
    assert after == before | {"last_login_at": after["last_login_at"]}


def test_login_refused_notes_no_moment(
    anonymous: TestClient, as_admin: TestClient, db: Session
) -> None:
    url = f"/api/v1/users/{make_ann(db, password=PASSWORD).id}"

    sign_in(anonymous, "annlee", "curtains-on-friday")

    assert as_admin.get(url).json()["last_login_at"] is None


@pytest.mark.parametrize("reason", REFUSED)
def test_login_refuses_for_any_reason_alike(
    anonymous: TestClient, db: Session, reason: str
) -> None:
    unknown = sign_in(anonymous, "nobody@example.com")
    make_ann(db, **REFUSED[reason])

    response = sign_in(anonymous, "ann@example.com")

    assert_error(response, 401, "INVALID_CREDENTIALS")
    assert response.headers["www-authenticate"] == "Bearer"
    assert what_tells(response) == what_tells(unknown)


@pytest.mark.parametrize("reason", REFUSED)
def test_login_refused_costs_one_hash(
    anonymous: TestClient, db: Session, hashes: list[str], reason: str
) -> None:
    make_ann(db, **REFUSED[reason])
    hashes.clear()

    sign_in(anonymous, "ann@example.com")

    assert len(hashes) == 1


def test_login_taken_costs_one_hash(anonymous: TestClient, db: Session, hashes: list[str]) -> None:
    make_ann(db, password=PASSWORD)
    hashes.clear()

    sign_in(anonymous, "ann@example.com")

    assert len(hashes) == 1


# What was typed is not in NFKC: hashes of earlier releases are of that very text.
TYPED = "Cafe\u0301-on-tuesday"


@pytest.mark.parametrize("reason", REFUSED)
def test_login_refused_costs_two_hashes_where_a_password_has_two_forms(
    anonymous: TestClient, db: Session, hashes: list[str], reason: str
) -> None:
    make_ann(db, **REFUSED[reason])
    hashes.clear()

    response = sign_in(anonymous, "ann@example.com", TYPED)

    assert_error(response, 401, "INVALID_CREDENTIALS")
    assert len(hashes) == 2


def test_login_taken_costs_two_hashes_where_a_password_has_two_forms(
    anonymous: TestClient, db: Session, hashes: list[str]
) -> None:
    make_ann(db, password=TYPED)
    hashes.clear()

    response = sign_in(anonymous, "ann@example.com", TYPED)

    assert response.status_code == 200
    assert len(hashes) == 2


@pytest.mark.parametrize("hasher", [OLD_HASHER, PasswordHasher(2, 19 * 1024, 1)])
@pytest.mark.parametrize(
    "typed",
    [TYPED, "wall\u00a0paper \ufb01sh", "\ufdfa" * 128, "\u1112\u1161\u11ab" * 42],
    ids=ascii,
)
def test_login_opens_a_hash_of_what_was_typed_before_and_renews_it(
    anonymous: TestClient, db: Session, hashes: list[str], hasher: PasswordHasher, typed: str
) -> None:
    ann = make_ann(db, hashed_password=hasher.hash(typed))
    before = (ann.version, ann.updated_at)
    normal = unicodedata.normalize("NFKC", typed)

    early = sign_in(anonymous, "annlee", normal).status_code if len(normal) < 129 else 401
    first = sign_in(anonymous, "annlee", typed)
    hashes.clear()
    if len(normal) < 129:
        assert sign_in(anonymous, "annlee", normal).status_code == 200
        assert len(hashes) == 1

    db.refresh(ann)
    assert (early, first.status_code) == (401, 200)
    assert str(ann.hashed_password).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert verify_password(normal, ann.hashed_password)
    assert (ann.version, ann.updated_at) == before
    assert sign_in(anonymous, "annlee", typed).status_code == 200


@pytest.mark.parametrize("reason", REFUSED)
def test_login_refused_runs_as_many_statements(
    anonymous: TestClient, db: Session, statements: list[str], reason: str
) -> None:
    make_ann(db, **REFUSED[reason])

    sign_in(anonymous, "ann@example.com")

    # One reads the account, one writes the event; SQLite's BEGIN counts too.
    kinds = [statement.split()[0] for statement in statements if "BEGIN" not in statement]
    assert kinds == ["SELECT", "INSERT"]


@pytest.mark.parametrize("reason", REFUSED)
def test_login_refused_is_noted_without_what_was_typed(
    anonymous: TestClient, db: Session, reason: str
) -> None:
    ann = make_ann(db, **REFUSED[reason])

    response = sign_in(anonymous, "ann@example.com", "typed-by-mistake")

    event = db.scalars(select(AuditEvent)).one()
    known_id = None if reason in {"unknown", "deleted"} else ann.id
    assert (event.action, event.resource_type, event.resource_id) == (
        "login_failed",
        "user",
        known_id,
    )
    assert (event.actor_id, event.actor_email, event.session_id) == (None, None, None)
    assert (event.ip, event.request_id) == ("testclient", response.headers["x-request-id"])
    assert event.changes == {}


def test_login_is_noted(anonymous: TestClient, db: Session) -> None:
    ann = make_ann(db, password=PASSWORD)

    response = sign_in(anonymous, "annlee")

    event = db.scalars(select(AuditEvent)).one()
    assert (event.action, event.resource_id, event.actor_id) == ("login", ann.id, ann.id)
    assert event.actor_email == ann.email
    assert event.session_id == db.scalar(select(LoginSession.id))
    assert (event.ip, event.request_id) == ("testclient", response.headers["x-request-id"])


@pytest.mark.parametrize("reason", ["unreadable hash", "broken hash", "foreign hash"])
def test_login_with_an_unreadable_hash_is_logged(
    anonymous: TestClient, db: Session, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    make_ann(db, **REFUSED[reason])

    sign_in(anonymous, "annlee")

    (record,) = (one for one in caplog.records if one.name == "backdesk.security")
    assert "unreadable" in record.getMessage()
    assert PASSWORD not in record.getMessage()
    assert str(REFUSED[reason]["hashed_password"]) not in record.getMessage()


def test_login_renews_a_hash_of_another_cost(
    anonymous: TestClient, db: Session, hashes: list[str]
) -> None:
    ann = make_ann(db, hashed_password=OLD_HASHER.hash(PASSWORD))
    before = (ann.version, ann.updated_at)

    first = sign_in(anonymous, "annlee")
    hashes.clear()
    second = sign_in(anonymous, "annlee")

    db.refresh(ann)
    assert (first.status_code, second.status_code) == (200, 200)
    assert str(ann.hashed_password).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (ann.version, ann.updated_at) == before
    assert len(hashes) == 1


def test_login_at_once_renews_a_hash_for_all(anonymous: TestClient, db: Session) -> None:
    ann = make_ann(db, hashed_password=OLD_HASHER.hash(PASSWORD))

    responses = at_once([lambda: sign_in(anonymous, "annlee")] * 4)

    db.refresh(ann)
    assert statuses(responses) == {200: 4}
    assert str(ann.hashed_password).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert sign_in(anonymous, "annlee").status_code == 200


def test_login_holds_no_connection_while_it_hashes(
    anonymous: TestClient, db: Session, held_while_hashing: list[int]
) -> None:
    make_ann(db, hashed_password=OLD_HASHER.hash(PASSWORD))
    held_while_hashing.clear()

    sign_in(anonymous, "annlee", "curtains-on-friday")
    sign_in(anonymous, "annlee")

    assert held_while_hashing == [0, 0, 0]  # The last one renews.


def test_login_at_once_hashes_no_more_passwords_than_are_allowed(
    anonymous: TestClient, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ann(db, password=PASSWORD)
    lock, verify = threading.Lock(), low_level.verify_secret
    running = [0]
    peaks: list[int] = []

    def counted(*args: Any) -> bool:
        with lock:
            running[0] += 1
            peaks.append(running[0])
        time.sleep(0.05)  # So that those who may, meet.
        try:
            return verify(*args)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(low_level, "verify_secret", counted)
    responses = at_once([lambda: sign_in(anonymous, "annlee")] * 12)

    assert statuses(responses) == {200: 12}
    assert max(peaks) <= HASHES_AT_ONCE


def test_login_refused_leaves_a_hash_of_another_cost(anonymous: TestClient, db: Session) -> None:
    ann = make_ann(db, hashed_password=OLD_HASHER.hash(PASSWORD))
    before = ann.hashed_password

    sign_in(anonymous, "annlee", "curtains-on-friday")

    db.refresh(ann)
    assert ann.hashed_password == before


@pytest.mark.parametrize("hashed", ["today", "yesterday"])
@pytest.mark.parametrize(
    "meanwhile", [{"hashed_password": "another"}, {"is_active": False}, {"deleted_at": utc_now()}]
)
def test_login_is_refused_where_the_account_changed_while_it_was_checked(
    anonymous: TestClient,
    db: Session,
    monkeypatch: pytest.MonkeyPatch,
    hashed: str,
    meanwhile: dict[str, Any],
) -> None:
    ann = make_ann(db, password=PASSWORD)
    if hashed == "yesterday":
        ann.hashed_password = OLD_HASHER.hash(PASSWORD)
        db.commit()
    original = low_level.verify_secret

    def verify_and_change(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        db.execute(update(User).where(User.id == ann.id).values(meanwhile))
        return result

    monkeypatch.setattr(low_level, "verify_secret", verify_and_change)

    response = sign_in(anonymous, "annlee")

    assert_error(response, 401, "INVALID_CREDENTIALS")
    assert db.scalars(select(LoginSession)).all() == []


@pytest.mark.parametrize(("length", "status"), [(129, 422), (5000, 422), (2**20, 413)])
def test_login_refuses_a_long_password_without_hashing(
    anonymous: TestClient, db: Session, hashes: list[str], length: int, status: int
) -> None:
    make_ann(db)
    hashes.clear()

    response = sign_in(anonymous, "annlee", "x" * length)

    assert response.status_code == status
    assert hashes == []


def test_login_belongs_to_who_has_the_address_now(anonymous: TestClient, db: Session) -> None:
    make_ann(db, password="curtains-on-friday", deleted_at=utc_now())
    make_ann(db, password=PASSWORD)

    statuses = [
        sign_in(anonymous, "annlee", password).status_code
        for password in (PASSWORD, "curtains-on-friday")
    ]

    assert statuses == [200, 401]


def test_login_works_for_who_is_not_verified(anonymous: TestClient, db: Session) -> None:
    make_ann(db, password=PASSWORD, is_verified=False)

    response = sign_in(anonymous, "annlee")

    assert response.status_code == 200


def test_login_names_each_missing_field(anonymous: TestClient) -> None:
    response = anonymous.post(URL)

    assert_error(response, 422, "INVALID_REQUEST", "username", "password")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("role", "admin"),
        ("grant_type", "refresh_token"),
        ("username", "x" * 255),
        ("username", "ann\0lee"),
        ("password", "wallpaper\0"),
    ],
)
def test_login_refuses_a_field_by_its_name(anonymous: TestClient, name: str, value: str) -> None:
    form = {"username": "annlee", "password": PASSWORD}

    response = anonymous.post(URL, data=form | {name: value})

    assert_error(response, 422, "INVALID_REQUEST", name)


def test_login_refuses_a_file_in_place_of_a_text(anonymous: TestClient) -> None:
    response = anonymous.post(
        URL, data={"password": PASSWORD}, files={"username": ("ann.txt", b"ann@example.com")}
    )

    assert_error(response, 422, "INVALID_REQUEST", "username")


def test_login_refuses_broken_characters(anonymous: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}

    response = anonymous.post(URL, content=b"username=%ED%A0%80&password=%FF%FE", headers=form)

    assert response.status_code == 400


# --- As JSON, beside the form.

AS_JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("name", ["ann@example.com", " AnnLee ", "ANN@example.com"])
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_login_takes_json(anonymous: TestClient, db: Session, name: str, content_type: str) -> None:
    ann = make_ann(db, password=PASSWORD)
    body = json.dumps({"username": name, "password": PASSWORD})

    response = anonymous.post(URL, content=body, headers={"Content-Type": content_type})

    assert response.status_code == 200
    bearer = {"Authorization": f"Bearer {response.json()['access_token']}"}
    assert anonymous.get("/api/v1/users/me", headers=bearer).json()["id"] == ann.id


def test_login_takes_json_for_cookies(anonymous: TestClient, db: Session) -> None:
    make_ann(db, password=PASSWORD)
    body = {"username": "annlee", "password": PASSWORD}

    response = anonymous.post(f"{URL}?mode=cookie", json=body)
    foreign = anonymous.post(
        f"{URL}?mode=cookie", json=body, headers={"Sec-Fetch-Site": "cross-site"}
    )

    assert set(response.json()) == {"csrf_token", "token_type", "expires_in"}
    assert anonymous.get("/api/v1/users/me").status_code == 200
    assert_error(foreign, 403, "CSRF_FAILED")


@pytest.mark.parametrize("reason", REFUSED)
def test_login_refuses_json_as_it_does_a_form(
    anonymous: TestClient, db: Session, reason: str
) -> None:
    make_ann(db, **REFUSED[reason])

    by_form = sign_in(anonymous, "ann@example.com")
    by_json = anonymous.post(URL, json={"username": "ann@example.com", "password": PASSWORD})

    assert_error(by_json, 401, "INVALID_CREDENTIALS")
    assert what_tells(by_json) == what_tells(by_form)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["username", "password"]),
        ({"username": "annlee"}, ["password"]),
        ({"username": "annlee", "password": ""}, ["password"]),
        ({"username": None, "password": PASSWORD}, ["username"]),
        ({"username": ["annlee"], "password": PASSWORD}, ["username"]),
        ({"username": {"a": 1}, "password": 12345678}, ["username", "password"]),
        ({"username": "annlee", "password": PASSWORD, "role": "admin"}, ["role"]),
        ({"username": "annlee", "password": PASSWORD, "grant_type": "x"}, ["grant_type"]),
        ({"username": "ann\0", "password": "x" * 129}, ["username", "password"]),
        ([], []),
        ("annlee", []),
        (None, []),
        (5, []),
    ],
)
def test_login_refuses_json_by_the_names_of_its_fields(
    anonymous: TestClient, body: Any, fields: list[str]
) -> None:
    response = anonymous.post(URL, content=json.dumps(body), headers=AS_JSON)

    assert_error(response, 422, "INVALID_REQUEST", *fields)


@pytest.mark.parametrize("body", [b"{", b"username=annlee", b"\xff", b"[" * 5000])
def test_login_refuses_what_is_no_json(anonymous: TestClient, body: bytes) -> None:
    response = anonymous.post(URL, content=body, headers=AS_JSON)

    assert_error(response, 400, "INVALID_JSON")


def test_login_refuses_json_that_is_not_utf8(anonymous: TestClient) -> None:
    body = json.dumps({"username": "annlee", "password": PASSWORD}).encode("utf-16")

    assert anonymous.post(URL, content=body, headers=AS_JSON).status_code == 400


@pytest.mark.parametrize("content_type", ["text/plain", "text/json", "application/jsonx", "json"])
def test_login_refuses_another_content_type(anonymous: TestClient, content_type: str) -> None:
    body = b'{"username": "annlee", "password": "wallpaper-on-tuesday"}'

    response = anonymous.post(URL, content=body, headers={"Content-Type": content_type})

    assert_error(response, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_login_documents_both_bodies(anonymous: TestClient) -> None:
    document = anonymous.get("/api/v1/openapi.json").json()

    content = document["paths"][URL]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/x-www-form-urlencoded"}
    assert len({one["schema"]["$ref"] for one in content.values()}) == 1
