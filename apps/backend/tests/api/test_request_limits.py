"""Bounds on what one request, and on what all requests together, may ask for."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.api.deps import DbSession, public
from app.api.routing import AUTH_BODY_BYTES, Router
from app.main import create_app
from app.models import Item, User
from app.schemas.item import ItemStatus
from tests.assertions import assert_error
from tests.conftest import POSTGRESQL
from tests.settings import changed_settings

API = "/api/v1"
# Counts up to a number that nobody waits for.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


# --- Bodies


def in_pieces(size: int) -> Iterator[bytes]:
    """A body whose length nobody has told before."""
    for _ in range(0, size, 1000):
        yield b"x" * 1000


@pytest.mark.parametrize(
    "path",
    [
        "/auth/login",
        "/auth/refresh",
        "/auth/logout",
        "/auth/register",
        "/auth/email/verify",
        "/auth/email/verify/confirm",
        "/auth/password/forgot",
        "/auth/password/reset",
        "/users/me/password",
    ],
)
def test_body_that_is_large_for_a_login_is_refused(anonymous: TestClient, path: str) -> None:
    kind = "application/x-www-form-urlencoded" if path == "/auth/login" else "application/json"
    headers = {"Content-Type": kind}

    size = AUTH_BODY_BYTES + 1
    whole = anonymous.post(f"{API}{path}", content=b"x" * size, headers=headers)
    chunked = anonymous.post(f"{API}{path}", content=in_pieces(size), headers=headers)

    assert_error(whole, 413, "BODY_TOO_LARGE")
    assert_error(chunked, 413, "BODY_TOO_LARGE")


def test_body_that_is_large_for_a_login_is_fine_elsewhere(as_user: TestClient) -> None:
    body = {"title": "Lamp", "description": "x" * (AUTH_BODY_BYTES + 1)}

    response = as_user.post(f"{API}/items/", json=body)

    assert response.status_code != 413


# --- Requests at a time


def test_request_beyond_those_in_flight_is_refused_at_once() -> None:
    with changed_settings(MAX_REQUESTS_IN_FLIGHT="2", ALLOWED_ORIGINS="https://panel.example.com"):
        app = create_app()
        begun, ended = Barrier(3), Event()
        router = Router(prefix="/slow")

        @router.get("", dependencies=[public])
        def be_slow() -> None:
            begun.wait(timeout=30)
            ended.wait(timeout=30)

        app.include_router(router)
        origin = {"Origin": "https://panel.example.com"}
        with TestClient(app, headers=origin) as client, ThreadPoolExecutor(2) as threads:
            slow = [threads.submit(client.get, "/slow") for _ in range(2)]
            begun.wait(timeout=30)
            refused = client.get(f"{API}/items/")
            alive = client.get("/health")
            ended.set()
            done = [one.result() for one in slow]
            again = client.get(f"{API}/items/")

    assert_error(refused, 503, "OVERLOADED")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" in refused.headers
    assert alive.status_code == 200
    assert [answer.status_code for answer in done] == [200, 200]
    assert again.status_code == 401


# --- Time


def test_request_that_takes_too_long_is_given_up_and_writes_nothing(
    db: Session, user: User
) -> None:
    with changed_settings(REQUEST_TIMEOUT_SECONDS="0.3"):
        app = create_app()
        router = Router(prefix="/slow")
        over = Event()

        @router.post("", dependencies=[public])
        def be_slow(db: DbSession) -> None:
            try:
                db.add(Item(title="Late", status=ItemStatus.DRAFT, owner_id=user.id))
                db.flush()
                time.sleep(1)
            finally:
                over.set()

        app.include_router(router)
        with TestClient(app) as client:
            response = client.post("/slow")
            over.wait(timeout=30)
            time.sleep(0.3)

    assert_error(response, 503, "REQUEST_TIMEOUT")
    assert int(response.headers["retry-after"]) >= 1
    assert db.query(Item).count() == 0


def test_statement_that_takes_too_long_is_ended() -> None:
    with changed_settings(STATEMENT_TIMEOUT_SECONDS="0.2"):
        app = create_app()
        router = Router(prefix="/slow")

        @router.get("", dependencies=[public])
        def be_slow(db: DbSession) -> None:
            db.execute(text(ENDLESS))

        @router.get("/many", dependencies=[public])
        def do_much(db: DbSession) -> None:
            for _ in range(5):
                db.execute(text("SELECT 1"))
                time.sleep(0.1)

        app.include_router(router)
        client = TestClient(app)
        refused, again, many = client.get("/slow"), client.get("/slow"), client.get("/slow/many")

    for answer in (refused, again):
        assert_error(answer, 503, "STATEMENT_TIMEOUT")
        assert int(answer.headers["retry-after"]) >= 1
    assert many.status_code == 200  # Each of its statements was quick.


# --- Schema


@pytest.mark.skipif(POSTGRESQL is not None, reason="The same, by another code, on SQLite.")
@pytest.mark.parametrize(("method", "path"), [("POST", "/auth/login"), ("POST", "/auth/refresh")])
def test_database_without_tables_is_not_ready(tmp_path: Path, method: str, path: str) -> None:
    body = (
        {"data": {"username": "ann", "password": "x"}}
        if path == "/auth/login"
        else {"json": {"refresh_token": "x" * 43}}
    )
    with changed_settings(DATABASE_URL=f"sqlite:///{tmp_path}/new.db"):
        response = TestClient(create_app()).request(method, f"{API}{path}", **body)  # type: ignore[arg-type]  # Of one kind or the other.

    assert_error(response, 503, "SCHEMA_NOT_READY")
    assert int(response.headers["retry-after"]) >= 1
