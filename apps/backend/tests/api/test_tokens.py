"""Access tokens: which are refused, and how soon a change of the account acts on them."""

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
import time_machine
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.core.security import create_access_token, present_key_id
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_login, make_session, make_token, make_user
from tests.later import later
from tests.letters import last_token
from tests.settings import client_with

URL = "/api/v1/users/me"
KEY = os.environ["SECRET_KEY"]
HEADER = {"alg": "HS256", "typ": "JWT", "kid": present_key_id()}
NEXT_KEY = "the-key-of-tomorrow-signs-what-is-given-out-then"
LIFETIME_SECONDS = 15 * 60
CLAIMS = ("sub", "sid", "jti", "type", "iss", "aud", "iat", "exp")


@pytest.fixture
def claims(db: Session, user: User) -> dict[str, Any]:
    """What the server itself puts into a token of this user."""
    token = make_token(db, user=user)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def ask(client: TestClient, token: str | bytes) -> Response:
    raw = token.encode() if isinstance(token, str) else token
    return client.get(URL, headers={b"Authorization": b"Bearer " + raw})


def forge(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, key: str = KEY) -> str:
    """Sign anything rightly, as a library would refuse to."""
    parts = (
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)
    )
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def test_token_of_the_server_is_taken(
    anonymous: TestClient, user: User, claims: dict[str, Any]
) -> None:
    response = ask(anonymous, forge(HEADER, claims))

    assert response.status_code == 200
    assert response.json()["id"] == user.id


def test_token_of_the_server_tells_what_it_is(claims: dict[str, Any], user: User) -> None:
    assert set(claims) >= set(CLAIMS)
    assert claims["sub"] == str(user.id)
    assert claims["exp"] - claims["iat"] == LIFETIME_SECONDS


def test_tokens_of_one_moment_differ(user: User) -> None:
    tokens = {create_access_token(user_id=user.id, session_id=1).text for _ in range(3)}

    assert len(tokens) == 3


@pytest.mark.parametrize("header", [{}, {"Authorization": ""}, {"Authorization": "Basic YTpi"}])
def test_token_missing_is_told_so(anonymous: TestClient, header: dict[str, str]) -> None:
    response = anonymous.get(URL, headers=header)

    assert_error(response, 401, "NOT_AUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


def test_token_invalid_is_told_so(anonymous: TestClient) -> None:
    response = ask(anonymous, "no-token")

    assert_error(response, 401, "INVALID_TOKEN")
    assert response.headers["www-authenticate"] == "Bearer"


def test_token_in_the_address_is_none(anonymous: TestClient, claims: dict[str, Any]) -> None:
    token = forge(HEADER, claims)

    response = anonymous.get(URL, params={"access_token": token})

    assert response.status_code in {401, 422}


@pytest.mark.parametrize("algorithm", ["none", "None", "NoNe", "NONE", ""])
def test_token_without_a_signature_is_refused(
    anonymous: TestClient, claims: dict[str, Any], algorithm: str
) -> None:
    signed = forge(HEADER | {"alg": algorithm}, claims)

    responses = [ask(anonymous, signed), ask(anonymous, signed.rpartition(".")[0] + ".")]

    for response in responses:
        assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_token_of_another_algorithm_is_refused(
    anonymous: TestClient, claims: dict[str, Any], algorithm: str
) -> None:
    response = ask(
        anonymous,
        jwt.encode(claims, KEY * 2, algorithm=algorithm, headers=HEADER | {"alg": algorithm}),
    )

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS512", "EdDSA", "HS257", 256, None, []])
def test_token_that_claims_another_algorithm_is_refused(
    anonymous: TestClient, claims: dict[str, Any], algorithm: Any
) -> None:
    response = ask(anonymous, forge(HEADER | {"alg": algorithm}, claims))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("key", ["another-key-than-the-one-that-tests-sign-with", KEY + " ", ""])
def test_token_of_another_key_is_refused(
    anonymous: TestClient, claims: dict[str, Any], key: str
) -> None:
    response = ask(anonymous, forge(HEADER, claims, key))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("key_id", [None, "", "another", 5, [], {"a": 1}, "../../dev/null"])
def test_token_that_names_another_key_is_refused(
    anonymous: TestClient, claims: dict[str, Any], key_id: Any
) -> None:
    response = ask(anonymous, forge(HEADER | {"kid": key_id}, claims))

    assert_error(response, 401, "INVALID_TOKEN")


def test_token_that_names_no_key_is_refused(anonymous: TestClient, claims: dict[str, Any]) -> None:
    response = ask(anonymous, forge({"alg": "HS256", "typ": "JWT"}, claims))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("field", ["jku", "x5u", "jwk"])
def test_token_that_brings_its_own_key_is_refused(
    anonymous: TestClient, claims: dict[str, Any], field: str
) -> None:
    own = "a-key-of-the-attacker-s-own-to-sign-with"
    key = {"kty": "oct", "k": base64.urlsafe_b64encode(own.encode()).decode()}

    response = ask(anonymous, forge(HEADER | {field: key}, claims, own))

    assert_error(response, 401, "INVALID_TOKEN")


def test_token_of_the_key_before_is_taken_until_it_is_retired(as_user: TestClient) -> None:
    token = str(as_user.headers["authorization"]).removeprefix("Bearer ")

    with client_with(SECRET_KEY=NEXT_KEY, SECRET_KEY_PREVIOUS=KEY) as client:
        during = ask(client, token)
    with client_with(SECRET_KEY=NEXT_KEY) as client:
        after = ask(client, token)

    assert during.status_code == 200
    assert_error(after, 401, "INVALID_TOKEN")


def test_token_given_while_keys_change_is_signed_with_the_new_one(
    anonymous: TestClient, db: Session, user: User
) -> None:
    login = make_login(db, user=user)
    body = {"refresh_token": login.refresh_token}

    with client_with(SECRET_KEY=NEXT_KEY, SECRET_KEY_PREVIOUS=KEY) as client:
        token = client.post("/api/v1/auth/refresh", json=body).json()["access_token"]
    with client_with(SECRET_KEY=NEXT_KEY) as client:
        after = ask(client, token)

    assert after.status_code == 200
    assert_error(ask(anonymous, token), 401, "INVALID_TOKEN")


def test_token_names_its_key_without_telling_it(as_user: TestClient) -> None:
    token = str(as_user.headers["authorization"]).removeprefix("Bearer ")

    key_id = jwt.get_unverified_header(token)["kid"]
    assert key_id not in KEY
    assert hashlib.sha256(KEY.encode()).hexdigest()[:16] != key_id


@pytest.mark.parametrize("kind", ["refresh", "reset", "verify"])
def test_token_of_another_kind_is_refused(anonymous: TestClient, db: Session, kind: str) -> None:
    user = make_user(db, email="ann@example.com", is_verified=False)
    tokens = {"refresh": make_login(db, user=user).refresh_token}
    for name, path in {"reset": "password/forgot", "verify": "email/verify"}.items():
        anonymous.post(f"/api/v1/auth/{path}", json={"email": user.email})
        tokens[name] = last_token(db)

    response = ask(anonymous, tokens[kind])

    assert_error(response, 401, "INVALID_TOKEN")


def test_token_of_another_session_of_oneself_is_that_session_s(
    anonymous: TestClient, db: Session, user: User, claims: dict[str, Any]
) -> None:
    ended = make_session(db, user=user, ended_at=utc_now())

    response = ask(anonymous, forge(HEADER, claims | {"sid": ended.id}))

    assert_error(response, 401, "INVALID_TOKEN")


def test_token_with_somebody_else_s_session_is_refused(
    anonymous: TestClient, db: Session, user: User, admin: User, claims: dict[str, Any]
) -> None:
    session = make_session(db, user=admin)

    responses = [
        ask(anonymous, forge(HEADER, claims | {"sid": session.id})),
        ask(anonymous, forge(HEADER, claims | {"sub": str(admin.id)})),
    ]

    for response in responses:
        assert_error(response, 401, "INVALID_TOKEN")


def test_token_changed_after_signing_is_refused(
    anonymous: TestClient, claims: dict[str, Any], admin: User
) -> None:
    mine = forge(HEADER, claims).split(".")
    theirs = forge(HEADER, claims | {"sub": str(admin.id)}).split(".")

    response = ask(anonymous, ".".join([mine[0], theirs[1], mine[2]]))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("claim", CLAIMS)
def test_token_without_a_claim_is_refused(
    anonymous: TestClient, claims: dict[str, Any], claim: str
) -> None:
    del claims[claim]

    response = ask(anonymous, forge(HEADER, claims))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", ""),
        ("sub", "ann@example.com"),
        ("sub", "0"),
        ("sub", "-1"),
        ("sub", "999999"),
        ("sub", "9" * 30),
        ("sub", "9" * 5000),
        ("sub", "1.0"),
        ("sub", None),
        ("sub", ["1"]),
        ("sub", {"id": "1"}),
        ("sid", None),
        ("sid", "1"),
        ("sid", True),
        ("sid", 1.0),
        ("sid", 0),
        ("sid", -1),
        ("sid", 999_999),
        ("sid", 2**63),
        ("sid", 10**30),
        ("sid", [1]),
        ("sid", {"id": 1}),
        ("type", "refresh"),
        ("type", "ACCESS"),
        ("type", ["access"]),
        ("iss", "elsewhere"),
        ("iss", ["backdesk"]),
        ("aud", "elsewhere"),
        ("aud", []),
        ("aud", {"backdesk-api": 1}),
        ("jti", 5),
        ("iat", "now"),
        ("iat", None),
        ("iat", {}),
        ("exp", "tomorrow"),
        ("exp", []),
        ("exp", float("inf")),
        ("exp", float("nan")),
        ("exp", -1),
    ],
)
def test_token_with_another_claim_is_refused(
    anonymous: TestClient, claims: dict[str, Any], claim: str, value: Any
) -> None:
    response = ask(anonymous, forge(HEADER, claims | {claim: value}))

    assert_error(response, 401, "INVALID_TOKEN")


def test_token_with_a_number_for_its_subject_is_refused(
    anonymous: TestClient, claims: dict[str, Any], user: User
) -> None:
    response = ask(anonymous, forge(HEADER, claims | {"sub": user.id}))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    ("issued", "expires"),
    [
        (-LIFETIME_SECONDS - 5, -5),  # expired
        (60, 60 + LIFETIME_SECONDS),  # issued tomorrow
        (0, LIFETIME_SECONDS + 60),  # lives longer than the server lets a token live
        (0, 10**9),
        (-(10**6), 60),
    ],
)
def test_token_of_another_time_is_refused(
    anonymous: TestClient, claims: dict[str, Any], issued: int, expires: int
) -> None:
    now = int(time.time())

    response = ask(anonymous, forge(HEADER, claims | {"iat": now + issued, "exp": now + expires}))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("times", "is_taken"),
    [
        ({"iat": 5, "exp": 5 + LIFETIME_SECONDS}, True),
        ({"iat": 9, "exp": 9 + LIFETIME_SECONDS}, True),
        ({"iat": 0, "nbf": 9}, True),
        ({"iat": -100, "nbf": -100, "exp": 100}, True),
        ({"iat": 12, "exp": 12 + LIFETIME_SECONDS}, False),
        ({"iat": 60}, False),
        ({"iat": 0, "nbf": 12}, False),
        ({"iat": -100, "nbf": 60, "exp": 100}, False),
        ({"iat": -100, "exp": 1}, True),
        ({"iat": -100, "exp": 0}, False),
        ({"iat": -100, "exp": -1}, False),
        ({"iat": -100, "exp": -9}, False),
        ({"iat": 5, "exp": 6 + LIFETIME_SECONDS}, False),  # Lasts longer than any of ours.
    ],
)
def test_token_of_a_clock_ahead_is_taken_within_ten_seconds(
    anonymous: TestClient,
    claims: dict[str, Any],
    times: dict[str, int],
    is_taken: bool,
    again: bool,
) -> None:
    with time_machine.travel(utc_now().replace(microsecond=0), tick=False):
        now = int(time.time())
        token = forge(HEADER, claims | {name: now + second for name, second in times.items()})
        if again:
            ask(anonymous, token)

        response = ask(anonymous, token)

    assert response.status_code == (200 if is_taken else 401)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_token_seen_before_is_refused_once_its_time_lies_ahead(
    anonymous: TestClient, claims: dict[str, Any], claim: str
) -> None:
    """The clock was set back meanwhile: that a token's signature is known makes it no older."""
    token = forge(HEADER, claims | {claim: int(time.time())})
    before = ask(anonymous, token)

    with later(hours=-1):
        response = ask(anonymous, token)

    assert before.status_code == 200
    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("value", ["1", None, 1.5, [], {}])
def test_token_with_no_number_for_its_beginning_is_refused(
    anonymous: TestClient, claims: dict[str, Any], value: Any
) -> None:
    response = ask(anonymous, forge(HEADER, claims | {"nbf": value}))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("claim", ["iat", "exp"])
def test_token_with_a_text_for_its_time_is_refused(
    anonymous: TestClient, claims: dict[str, Any], claim: str
) -> None:
    response = ask(anonymous, forge(HEADER, claims | {claim: str(claims[claim])}))

    assert_error(response, 401, "INVALID_TOKEN")


def test_token_not_yet_in_force_is_refused(anonymous: TestClient, claims: dict[str, Any]) -> None:
    response = ask(anonymous, forge(HEADER, claims | {"nbf": int(time.time()) + 60}))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b".",
        b"..",
        b"....",
        b"a.b.c",
        b"e30.e30.",
        b"x" * 2**20,
        b"." * 2**20,
        base64.urlsafe_b64encode(b"[" * 100_000) + b".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":' * 100_000) + b".e30.e30",
        base64.urlsafe_b64encode(b'{"alg": "HS256", "b64": false}') + b"..e30",
        base64.urlsafe_b64encode(rb'{"alg": "\ud800"}') + b".e30.e30",
        base64.urlsafe_b64encode(b"\xff\xfe") + b".e30.e30",
        "ünïcödé.🦊.ß".encode(),
        b"\xed\xa0\x80.\xff.\xfe",
        b"null.null.null",
    ],
    ids=lambda token: ascii(token[:24]),
)
def test_token_of_garbage_is_refused(anonymous: TestClient, token: bytes) -> None:
    response = ask(anonymous, token)

    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b"1", b'"text"', b"{", b"[" * 100_000, b"\xff"]
)
def test_token_around_no_claims_is_refused(anonymous: TestClient, payload: bytes) -> None:
    response = ask(anonymous, forge(HEADER, payload))

    assert_error(response, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("values", [{"is_active": False}, {"deleted_at": utc_now()}])
def test_token_ends_with_its_account_at_once(
    as_user: TestClient, user: User, db: Session, values: dict[str, Any]
) -> None:
    before = as_user.get(URL)
    for name, value in values.items():
        setattr(user, name, value)
    db.commit()

    response = as_user.get(URL)

    assert before.status_code == 200
    assert_error(response, 401, "INVALID_TOKEN")


def test_token_ends_when_an_admin_deactivates_the_account(
    as_admin: TestClient, as_user: TestClient, user: User
) -> None:
    as_admin.patch(f"/api/v1/users/{user.id}", json={"is_active": False})

    response = as_user.patch(URL, json={"full_name": "Ann Lee"})

    assert_error(response, 401, "INVALID_TOKEN")


def test_token_ends_when_an_admin_deletes_the_account(
    as_admin: TestClient, as_user: TestClient, user: User
) -> None:
    as_admin.delete(f"/api/v1/users/{user.id}")

    response = as_user.get(URL)

    assert_error(response, 401, "INVALID_TOKEN")


def test_token_is_worth_what_the_role_is_now(
    as_admin: TestClient, client_of: Callable[[User], TestClient], db: Session
) -> None:
    other = make_user(db, role=Role.ADMIN)
    as_other = client_of(other)

    statuses = []
    for role in ("user", "auditor", "admin"):
        as_admin.patch(f"/api/v1/users/{other.id}", json={"role": role})
        listed = as_other.get("/api/v1/users/")
        created = as_other.post("/api/v1/users/", json={"email": f"made-by-{role}@example.com"})
        statuses.append((listed.status_code, created.status_code))

    assert statuses == [(403, 403), (200, 403), (200, 201)]


def test_token_sees_the_department_of_now(
    as_admin: TestClient, as_manager: TestClient, manager: User, db: Session
) -> None:
    colleague = make_user(db, department="Sales")
    url = f"/api/v1/users/{colleague.id}"
    before = as_manager.get(url)

    as_admin.patch(f"/api/v1/users/{manager.id}", json={"department": "Kitchen"})

    assert before.status_code == 200
    assert_error(as_manager.get(url), 404, "USER_NOT_FOUND")
