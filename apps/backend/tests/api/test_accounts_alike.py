"""What is answered alike takes the same steps too, so that time does not tell who has an account.

Times themselves are not asserted: what the database is told is.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.db.prepared import RUNS_BEFORE_PREPARED
from app.models import AuditEvent, OutgoingEmail
from tests.assertions import what_tells
from tests.factories import make_user
from tests.settings import changed_settings

AUTH = "/api/v1/auth"
EMAIL = "ann.lee@corp.example"
PASSWORD = "wallpaper-on-tuesday"
WRONG = "curtains-on-friday"
# Whose the address is, beside an active and verified user's.
OWNERS: dict[str, dict[str, Any] | None] = {
    "nobody": None,
    "unverified": {"is_verified": False},
    "inactive": {"is_active": False},
    "deleted": {"deleted_at": utc_now()},
    "without a password": {"hashed_password": None},
    "an admin": {"role": "admin"},
}
# What stands in the text of an event, which travels with the statement after it.
VALUE = re.compile(r"'(?:[^']|'')*'|\b(?:\d+|NULL|true|false)\b")
Ask = Callable[[TestClient, str], Response]
ASKED: dict[str, Ask] = {
    "forgot": lambda client, email: client.post(f"{AUTH}/password/forgot", json={"email": email}),
    "verify": lambda client, email: client.post(f"{AUTH}/email/verify", json={"email": email}),
    "register": lambda client, email: client.post(
        f"{AUTH}/register", json={"email": email, "password": WRONG}
    ),
    "log in": lambda client, email: client.post(
        f"{AUTH}/login", data={"username": email, "password": WRONG}
    ),
    "log in by name": lambda client, email: client.post(
        f"{AUTH}/login", data={"username": email.partition("@")[0], "password": WRONG}
    ),
}


@pytest.fixture
def visitor(anonymous: TestClient) -> Iterator[TestClient]:
    with changed_settings(OPEN_REGISTRATION="true"):
        yield anonymous


def counts(db: Session) -> dict[str, int]:
    tables = [model.__table__ for model in (AuditEvent, OutgoingEmail)]
    return {str(table): db.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


@pytest.mark.parametrize("who", OWNERS)
@pytest.mark.parametrize("asked", ASKED)
def test_strangers_request_takes_the_same_steps_whoever_has_the_address(
    visitor: TestClient, db: Session, round_trips: list[str], asked: str, who: str
) -> None:
    make_user(db, email="bob@corp.example", username="bob")
    values = OWNERS[who]
    if values is not None:
        make_user(db, **{"email": EMAIL, "username": "ann.lee", "password": PASSWORD} | values)
    for number in range(2 * RUNS_BEFORE_PREPARED):  # Until nothing is sent for the first time.
        ASKED[asked](visitor, f"stranger{number}@corp.example")
        ASKED[asked](visitor, "bob@corp.example")

    told = []
    for email in ("bob@corp.example", EMAIL):
        before = counts(db)
        round_trips.clear()
        response = ASKED[asked](visitor, email)
        steps = [VALUE.sub("?", step) for step in round_trips]
        after = counts(db)
        rows = {name: after[name] - before[name] for name in after}
        told.append((what_tells(response), steps, rows))

    assert told[0] == told[1]
    assert any("INSERT INTO audit_events" in step for step in told[0][1])


def test_register_takes_a_name_that_is_free(visitor: TestClient, db: Session) -> None:
    make_user(db, email="bob@corp.example", username="ann.lee")

    ASKED["register"](visitor, EMAIL)

    form = {"username": EMAIL, "password": WRONG}
    token = visitor.post(f"{AUTH}/login", data=form).json()["access_token"]
    me = visitor.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert me["username"] == "ann.lee2"
    assert {me["is_active"], me["is_verified"]} == {True, False}


def test_register_is_noted_with_the_fields_of_the_new_user(
    visitor: TestClient, db: Session
) -> None:
    response = ASKED["register"](visitor, EMAIL)

    event = db.scalars(select(AuditEvent)).one()
    assert (event.action, event.resource_type, event.version) == ("create", "user", 1)
    assert event.request_id == response.headers["x-request-id"]
    assert event.changes == {
        "email": [None, EMAIL],
        "username": [None, "ann.lee"],
        "role": [None, "user"],
        "is_active": [None, True],
        "is_verified": [None, False],
        "must_change_password": [None, False],
        "token_quota": [None, 100_000],
    }
