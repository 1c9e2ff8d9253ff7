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
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.core.security import create_access_token, present_key_id
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_token, make_user

URL = "/api/v1/users/me"
KEY = os.environ["SECRET_KEY"]
HEADER = {"alg": "HS256", "typ": "JWT", "kid": present_key_id()}
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
