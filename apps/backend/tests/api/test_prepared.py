"""Prepared statements, where something goes wrong as they are prepared, or after it.

What a connection is thought to know and does not would fail on it for ever after.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db.prepared import RUNS_BEFORE_PREPARED
from app.db.session import get_engine
from app.models import User
from tests.factories import make_item

pytestmark = pytest.mark.postgresql

ITEMS = "/api/v1/items/"


@pytest.fixture(autouse=True)
def _new_connections() -> Iterator[None]:
    """None that knows anything yet, and none left that was told something odd."""
    get_engine().dispose()
    yield
    get_engine().dispose()


def create(client: TestClient) -> int:
    return client.post(ITEMS, json={"title": "Lamp"}).status_code


@contextmanager
def locked(table: str) -> Iterator[None]:
    with get_engine().connect() as other, other.begin():
        other.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
        yield


@pytest.mark.parametrize("table", ["audit_events", "items"])
def test_statement_that_could_not_be_prepared_is_prepared_later(
    as_admin: TestClient, table: str
) -> None:
    for _ in range(RUNS_BEFORE_PREPARED):
        assert create(as_admin) == 201
    get_engine().dispose()
    with locked(table):
        refused = create(as_admin)

    statuses = [create(as_admin) for _ in range(2 * RUNS_BEFORE_PREPARED)]

    assert refused == 409
    assert set(statuses) == {201}


def test_event_of_a_unit_that_was_refused_leaves_nothing_behind(
    as_admin: TestClient, admin: User, db: Session
) -> None:
    item = make_item(db, owner=admin)
    for _ in range(RUNS_BEFORE_PREPARED):
        assert create(as_admin) == 201
    get_engine().dispose()
    rows = f'{{"id": {item.id}, "title": "Changed"}}\n{{"id": 999999, "title": "Nobody\'s"}}'
    refused = as_admin.post(
        f"{ITEMS}import?on_conflict=update", files={"file": ("items.jsonl", rows)}
    )

    statuses = [create(as_admin) for _ in range(2 * RUNS_BEFORE_PREPARED)]

    assert refused.status_code in {404, 422}
    assert set(statuses) == {201}


@pytest.mark.parametrize("method", ["GET", "PATCH", "POST"])
def test_statement_that_the_server_has_forgotten_is_run_all_the_same(
    as_admin: TestClient, admin: User, db: Session, method: str
) -> None:
    """As behind a pooler that lends another server's connection for each transaction."""
    path = f"{ITEMS}{make_item(db, owner=admin).id}" if method != "POST" else ITEMS
    body = {"title": "Another"} if method != "GET" else None
    for _ in range(2 * RUNS_BEFORE_PREPARED):
        assert as_admin.request(method, path, json=body).is_success
    forget_all()

    answers = [as_admin.request(method, path, json=body) for _ in range(3)]

    assert [answer.is_success for answer in answers] == [True, True, True]


def test_statement_of_a_table_that_has_changed_is_prepared_anew(
    as_admin: TestClient, admin: User, db: Session
) -> None:
    path = f"{ITEMS}{make_item(db, owner=admin).id}"
    for _ in range(2 * RUNS_BEFORE_PREPARED):
        assert as_admin.get(path).status_code == 200
    db.execute(text("ALTER TABLE items ALTER COLUMN status TYPE varchar(30)"))

    changed = [as_admin.get(path).status_code for _ in range(3)]
    db.execute(text("ALTER TABLE items ALTER COLUMN status TYPE varchar(20)"))

    assert changed == [200, 200, 200]


def forget_all() -> None:
    pool: Any = get_engine().pool
    connections = [get_engine().raw_connection() for _ in range(pool.checkedin())]
    for connection in connections:
        connection.cursor().execute("DEALLOCATE ALL")
        connection.commit()
        connection.close()
