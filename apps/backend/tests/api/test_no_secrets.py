"""No answer gives away what the database keeps secret; only the token endpoints give tokens."""

import os
import re
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.core.security import hash_secret, new_secret, present_key_id
from app.crud.letter import LINK_PURPOSES
from app.crud.one_time_token import token_text
from app.models import (
    AuditEvent,
    IdempotencyKey,
    Item,
    Job,
    OneTimeToken,
    OutgoingEmail,
    RefreshToken,
    UsageEvent,
    User,
)
from app.schemas.letter import LetterStatus, LetterTemplate
from tests.factories import make_item, make_letter_with_link, make_session, make_usage, make_user
from tests.rows import every_row

PASSWORD = "wallpaper-on-tuesday"
CALLERS = ["anonymous", *Role]
# Keys that sound like a secret, and those that only sound so.
SECRET_KEY_NAME = re.compile("password|passwd|secret|hash|nonce|token|cookie|key_id", re.IGNORECASE)
HARMLESS = {
    "must_change_password",
    "token_quota",
    "tokens",
    "tokens_remaining",
    "total_tokens_used",
    "monthly_tokens_used",
}


def make_rows(db: Session, *, user: User) -> set[str]:
    """Fill every table with rows about the user, and return what nobody may be told."""
    now = utc_now()
    make_item(db, owner=user, description="Brass")
    refresh_tokens = [new_secret(), new_secret()]
    session = make_session(db, user=user)
    for text in refresh_tokens:
        values = {"token_hash": hash_secret(text), "created_at": now, "key_id": present_key_id()}
        db.add(RefreshToken(session_id=session.id, **values))
    links = [
        make_letter_with_link(db, user=user, template=template, status=LetterStatus.DEAD)
        for template in map(LetterTemplate, LINK_PURPOSES)
    ]
    tokens = [db.get_one(OneTimeToken, letter.token_id) for letter in links]
    db.add(Job(name=f"delivery {user.id}", due_at=now, started_at=now, outcome="3 letters"))
    make_usage(db, user=user)
    fingerprint = token_hex(16)
    values = {"key": "k1", "fingerprint": fingerprint, "created_at": now, "body": b"{}"}
    db.add(IdempotencyKey(user_id=user.id, **values))
    db.add(
        AuditEvent(
            at=now,
            actor_id=user.id,
            actor_email=user.email,
            action="login",
            resource_type="user",
            resource_id=user.id,
            changes={},
            request_id="0" * 24,
            session_id=session.id,
            ip="192.0.2.7",
        )
    )
    db.commit()
    stored = {user.hashed_password or "", *map(hash_secret, refresh_tokens)}
    one_time = {text for token in tokens for text in (token.nonce, token.token_hash)}
    return {PASSWORD, fingerprint, *refresh_tokens, *stored, *one_time, *map(token_text, tokens)}


def told_secrets(response: Response, secrets: set[str]) -> set[str]:
    told = str(response.headers) + response.text
    return {secret for secret in secrets if secret in told}


def suspicious_keys(response: Response) -> set[str]:
    return {key for key in keys_of(response) if SECRET_KEY_NAME.search(key)}


def keys_of(response: Response) -> Iterator[str]:
    """Name the keys of JSON, or the columns of a file."""
    if response.headers["content-type"].startswith("text/csv"):
        return iter(response.text.partition("\n")[0].strip().split(","))
    return keys_in(response.json())


def keys_in(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        yield from body
        body = list(body.values())
    for part in body if isinstance(body, list) else []:
        yield from keys_in(part)


@pytest.fixture
def secrets(db: Session) -> set[str]:
    """The secrets of one user of each role."""
    found = {os.environ["SECRET_KEY"]}
    for role in Role:
        user = make_user(
            db, email=f"{role}@example.com", role=role, department="Sales", password=PASSWORD
        )
        found |= make_rows(db, user=user)
    assert [name for name, rows in every_row(db).items() if not rows] == []
    return found


@pytest.fixture
def users(db: Session, secrets: set[str]) -> dict[str, User]:
    return {user.role: user for user in db.scalars(select(User))}


@pytest.mark.parametrize("caller", CALLERS)
def test_no_reading_answer_holds_a_secret(
    anonymous: TestClient,
    client_of: Callable[[User], TestClient],
    db: Session,
    secrets: set[str],
    users: dict[str, User],
    caller: str,
) -> None:
    client = anonymous if caller == "anonymous" else client_of(users[caller])
    app = client.app
    assert isinstance(app, FastAPI)
    paths = [path for path, operations in app.openapi()["paths"].items() if "get" in operations]
    records = [
        {
            "user_id": item.owner_id,
            "item_id": item.id,
            "event_id": event_id,
            "letter_id": letter_id,
            "audit_event_id": audit_event_id,
            "name": "clean-up",
        }
        for item, event_id, letter_id, audit_event_id in zip(
            db.scalars(select(Item)),
            db.scalars(select(UsageEvent.id)),
            db.scalars(select(OutgoingEmail.id)),
            db.scalars(select(AuditEvent.id)),
            strict=False,
        )
    ]

    answers = [client.get(path.format(**numbers)) for path in paths for numbers in records]

    assert sum(answer.is_success for answer in answers) >= (8 if caller == "anonymous" else 20)
    for answer in answers:
        assert told_secrets(answer, secrets) == set(), answer.url
        assert suspicious_keys(answer) <= HARMLESS, answer.url


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "users/", {"email": "new@example.com", "password": PASSWORD}),
        ("PATCH", "users/{id}", {"password": PASSWORD}),
        ("PUT", "users/{id}", {"full_name": "Ann"}),
        ("PATCH", "users/me", {"full_name": "Ann"}),
        ("DELETE", "users/{id}", None),
        ("POST", "auth/password/forgot", {"email": "user@example.com"}),
        ("POST", "auth/email/verify", {"email": "user@example.com"}),
        ("POST", "auth/password/reset", {"token": "x", "password": PASSWORD}),
        ("POST", "users/me/password", {"current_password": "x", "new_password": PASSWORD}),
    ],
)
def test_no_writing_answer_holds_a_secret(
    client_of: Callable[[User], TestClient],
    secrets: set[str],
    users: dict[str, User],
    method: str,
    path: str,
    body: Any,
) -> None:
    url = f"/api/v1/{path}".format(id=users["user"].id)

    response = client_of(users["admin"]).request(
        method, url, json=body, headers={"Prefer": "return=representation"}
    )

    refused_fields = set(response.json().get("errors", {}))
    assert told_secrets(response, secrets) == set()
    assert suspicious_keys(response) <= HARMLESS | refused_fields


def test_documented_answers_hold_no_secret(anonymous: TestClient) -> None:
    """What no row of these tests has shown is seen in the schemas, token endpoints aside."""
    app = anonymous.app
    assert isinstance(app, FastAPI)
    schemas = app.openapi()["components"]["schemas"]
    named = {
        (name, field)
        for name in schemas
        if name.endswith("Public")
        for field in schemas[name].get("properties", {})
        if SECRET_KEY_NAME.search(field) and field not in HARMLESS
    }

    assert named == {
        ("TokenPublic", "access_token"),
        ("TokenPublic", "refresh_token"),
        ("TokenPublic", "token_type"),
        ("CookiesPublic", "csrf_token"),
        ("CookiesPublic", "token_type"),
    }
