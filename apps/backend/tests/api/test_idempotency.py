"""`Idempotency-Key`: what is sent twice is done once, and answered alike."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.api.idempotency import claim_key
from app.core.permissions import Role
from app.crud.idempotency_key import KEPT
from app.main import create_app
from app.models import IdempotencyKey, Item, User
from app.tasks.clean_up import clean_up
from tests.assertions import assert_error
from tests.factories import make_user
from tests.later import later
from tests.racing import at_once, statuses
from tests.rows import every_row
from tests.settings import changed_settings

URL = "/api/v1/items/"
KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
LAMP = {"title": "Lamp"}
# They sign in and out, prove something by a token of their own, or hash a password.
WITHOUT_KEYS = {"/api/v1/users/me/password"}


def count_items(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(Item)) or 0


def test_key_sent_again_replays_the_answer_and_does_nothing(
    as_user: TestClient, db: Session
) -> None:
    first = as_user.post(URL, json=LAMP, headers=KEY)
    again = as_user.post(URL, json=LAMP, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    for name in ("location", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert count_items(db) == 1


NESTED = b'{"items": [{"title": "Lamp", "status": "draft"}, {"title": "Desk"}]}'
TURNED = b'{"items":[{"status":"draft","title":"Lamp"},{"title":"Desk"}]}'
NARROW = b'{"filter": {"q": "x", "id": [1]}}'


@pytest.mark.parametrize(
    ("url", "first", "again"),
    [
        (URL, b'{"title": "L", "status": "draft"}', b'{"status":"draft",\n"title":"L"}'),
        (URL, b'{"title": "Caf\xc3\xa9"}', b'{"title": "Caf\\u00e9"}'),
        (URL, b'{"title": "L"}', b'\xef\xbb\xbf{"title": "L"}'),
        (f"{URL}bulk", NESTED, TURNED),
        (f"{URL}bulk/delete", NARROW, b'{"filter":{"id":[1],"q":"x"}}'),
    ],
)
def test_key_replays_the_same_content_however_it_is_written(
    as_user: TestClient, db: Session, url: str, first: bytes, again: bytes
) -> None:
    headers = {"Content-Type": "application/json"} | KEY

    done = as_user.post(url, content=first, headers=headers)
    count = count_items(db)
    told = [as_user.post(one, content=again, headers=headers) for one in (url, url.rstrip("/"))]

    assert done.status_code in {200, 201}, done.text
    for response in told:
        assert (response.status_code, response.content) == (done.status_code, done.content)
        assert response.headers["idempotency-replayed"] == "true"
    assert count_items(db) == count


@pytest.mark.parametrize(
    ("url", "first", "again"),
    [
        (URL, b'{"title": "L"}', b'{"title": "l"}'),
        (URL, b'{"title": "L"}', b'{"title": "L", "description": null}'),
        (URL, b'{"title": "L"}', b'{"title": "L "}'),
        (f"{URL}bulk/delete", b'{"filter": {"id": [2, 1]}}', b'{"filter": {"id": [1, 2]}}'),
        (f"{URL}bulk/delete", b'{"filter": {"id": [1]}}', b'{"filter": {"id": 1}}'),
        (f"{URL}bulk/delete", b'{"filter": {"id": [1]}}', b'{"filter": {"id": [true]}}'),
        (f"{URL}bulk/delete", b'{"filter": {"id": [1]}}', b'{"filter": {"id": [1.0]}}'),
    ],
)
def test_key_refuses_another_content(
    as_user: TestClient, url: str, first: bytes, again: bytes
) -> None:
    headers = {"Content-Type": "application/json"} | KEY

    done = as_user.post(url, content=first, headers=headers)
    refused = as_user.post(url, content=again, headers=headers)

    assert done.status_code in {200, 201}, done.text
    assert refused.status_code == 422
    assert refused.json()["error"] in {"IDEMPOTENCY_KEY_REUSED", "INVALID_REQUEST"}


@pytest.mark.parametrize(
    ("url", "body"), [(URL, {"title": "Chair"}), (URL + "?dry_run=false", LAMP)]
)
def test_key_sent_with_another_request_is_refused(
    as_user: TestClient, db: Session, url: str, body: dict[str, Any]
) -> None:
    as_user.post(URL, json=LAMP, headers=KEY)

    refused = as_user.post(url, json=body, headers=KEY)

    assert_error(refused, 422, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")
    assert count_items(db) == 1


def test_key_belongs_to_its_user(
    as_user: TestClient, client_of: Callable[[User], TestClient], db: Session
) -> None:
    as_user.post(URL, json=LAMP, headers=KEY)

    other = client_of(make_user(db)).post(URL, json={"title": "Chair"}, headers=KEY)

    assert other.status_code == 201
    assert "idempotency-replayed" not in other.headers
    assert count_items(db) == 2


def test_key_of_a_refused_request_is_free_again(as_user: TestClient, db: Session) -> None:
    refused = as_user.post(URL, json={"title": ""}, headers=KEY)
    done = as_user.post(URL, json=LAMP, headers=KEY)

    assert (refused.status_code, done.status_code) == (422, 201)
    assert count_items(db) == 1


def test_key_is_not_replayed_to_who_may_no_longer(
    as_user: TestClient, user: User, db: Session
) -> None:
    as_user.post(URL, json=LAMP, headers=KEY)
    user.role = Role.AUDITOR
    db.commit()

    assert_error(as_user.post(URL, json=LAMP, headers=KEY), 403, "PERMISSION_DENIED")


def test_key_is_good_for_a_day(as_user: TestClient, db: Session, user: User) -> None:
    as_user.post(URL, json=LAMP, headers=KEY)
    row = db.scalars(select(IdempotencyKey)).one()
    row.created_at -= KEPT + timedelta(seconds=1)
    db.commit()

    done = as_user.post(URL, json={"title": "Chair"}, headers=KEY)
    again = as_user.post(URL, json={"title": "Chair"}, headers=KEY)

    assert "idempotency-replayed" not in done.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert count_items(db) == 2


@pytest.mark.parametrize("key", [b"", b"with space", "ü".encode(), b"x" * 256])
def test_key_that_is_none_is_refused(as_user: TestClient, db: Session, key: bytes) -> None:
    refused = as_user.post(URL, json=LAMP, headers={b"Idempotency-Key": key})

    assert_error(refused, 422, "INVALID_REQUEST", "Idempotency-Key")
    assert count_items(db) == 0


def test_key_sent_many_times_at_once_writes_one_row(
    client_of: Callable[[User], TestClient], user: User, db: Session
) -> None:
    client = client_of(user)

    answers = at_once([lambda: client.post(URL, json=LAMP, headers=KEY)] * 8)

    assert statuses(answers) == {201: 8}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
    assert count_items(db) == 1


def test_key_survives_a_change_of_the_signing_key(as_user: TestClient, db: Session) -> None:
    client, old = as_user, os.environ["SECRET_KEY"]
    client.post(URL, json=LAMP, headers=KEY)

    with changed_settings(SECRET_KEY="x1!" + old, SECRET_KEY_PREVIOUS=old):
        again = client.post(URL, json=LAMP, headers=KEY)

    assert again.headers["idempotency-replayed"] == "true"
    assert count_items(db) == 1


def test_keys_store_no_password(as_admin: TestClient, db: Session) -> None:
    password = "wallpaper-on-tuesday"

    made: Response = as_admin.post(
        "/api/v1/users/",
        json={"email": "new@example.com", "password": password},
        headers=KEY,
    )

    assert made.status_code == 201
    assert password not in str(every_row(db))


def test_keys_past_their_day_are_cleaned_up(as_user: TestClient, db: Session) -> None:
    as_user.post(URL, json=LAMP, headers=KEY)
    clean_up()
    kept = db.scalar(select(func.count()).select_from(IdempotencyKey))

    with later(hours=24, seconds=1):
        outcome = clean_up()

    assert "1 idempotency keys" in (outcome.text or "")
    assert kept == 1
    assert db.scalar(select(func.count()).select_from(IdempotencyKey)) == 0


def test_every_post_that_writes_takes_a_key() -> None:
    without = {
        str(context.path).rstrip("/")
        for context in iter_route_contexts(create_app().routes)
        if "POST" in (context.methods or ())
        and not str(context.path).startswith("/api/v1/auth/")
        and claim_key not in {child.call for child in context.dependant.dependencies}
    }

    assert without == WITHOUT_KEYS


def test_key_takes_no_connection_while_a_password_is_hashed(
    as_admin: TestClient, held_while_hashing: list[int]
) -> None:
    body = {"email": "new@example.com", "password": "wallpaper-on-tuesday"}

    assert as_admin.post("/api/v1/users/", json=body, headers=KEY).status_code == 201
    assert held_while_hashing == [0]


def test_key_is_not_replayed_to_who_sees_others_meanwhile(
    as_manager: TestClient, manager: User, db: Session
) -> None:
    body = {"email": "new@example.com"}
    as_manager.post("/api/v1/users/", json=body, headers=KEY)
    manager.department = "Kitchen"
    db.commit()

    answer = as_manager.post("/api/v1/users/", json=body, headers=KEY)

    assert_error(answer, 422, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")


def test_two_keys_are_refused(as_user: TestClient, db: Session) -> None:
    headers = [("Idempotency-Key", "k1"), ("Idempotency-Key", "k2")]

    refused = as_user.post(URL, json=LAMP, headers=headers)

    assert_error(refused, 422, "INVALID_REQUEST", "Idempotency-Key")
    assert count_items(db) == 0
