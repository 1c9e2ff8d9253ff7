"""How many messages to PostgreSQL each route takes that writes, and that reading takes no others.

A prepared statement is prepared in the same message as its first execution, `BEGIN` comes with the
first statement, and the event in the audit with `COMMIT`.
"""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.db.prepared import RUNS_BEFORE_PREPARED
from app.models import User
from tests.driver import BEGIN, COMMIT, ROLLBACK
from tests.factories import make_item, make_user

pytestmark = pytest.mark.postgresql

# Each begins with the caller, and ends with COMMIT.
TABLE = """
POST   /api/v1/items/                     3  the row
PATCH  /api/v1/items/{item_id}            4  the locked row, the change
PATCH  /api/v1/items/{unchanged_id}       3  the locked row
DELETE /api/v1/items/{item_id}            4  the locked row, the change
POST   /api/v1/items/{deleted_id}/restore 4  the locked row, the change
POST   /api/v1/usage/                     4  the counter, the entry
PATCH  /api/v1/users/{user_id}            4  the locked row, the change
PATCH  /api/v1/users/me                   4  the locked row, the change
DELETE /api/v1/users/{user_id}            7  the locked row, sessions, links, the change
"""
LINES = [line.split(maxsplit=3) for line in TABLE.splitlines() if line]
BODIES: dict[str, Any] = {
    "/api/v1/items/": {"title": "Desk lamp"},
    "/api/v1/items/{item_id}": {"title": "Floor lamp"},
    "/api/v1/items/{unchanged_id}": {"title": "Lamp"},
    "/api/v1/usage/": {"kind": "letters", "tokens": 3},
    "/api/v1/users/{user_id}": {"full_name": "Ann Lee"},
    "/api/v1/users/me": {"full_name": "Ann Lee"},
}


@pytest.mark.parametrize(("method", "path", "number", "told"), LINES)
def test_writing_takes_as_many_round_trips_as_the_table_says(
    as_admin: TestClient,
    admin: User,
    db: Session,
    round_trips: list[str],
    method: str,
    path: str,
    number: str,
    told: str,
) -> None:
    ids = {
        "user_id": make_user(db).id,
        "item_id": make_item(db, owner=admin).id,
        "unchanged_id": make_item(db, owner=admin, title="Lamp").id,
        "deleted_id": make_item(db, owner=admin, deleted_at=utc_now()).id,
    }
    for _ in range(2 * RUNS_BEFORE_PREPARED):  # The event is prepared once, by itself.
        as_admin.post("/api/v1/items/", json={"title": "Desk lamp"})
    round_trips.clear()

    body = BODIES.get(path) if method != "DELETE" else None
    response = as_admin.request(method, path.format(**ids), json=body)

    assert response.is_success, response.text
    assert len(round_trips) == int(number), (told, round_trips)
    assert [one for one in round_trips if one.endswith((COMMIT, ROLLBACK))] == [round_trips[-1]]
    assert round_trips[-1].endswith(COMMIT)
    assert [one for one in round_trips if one.startswith(BEGIN)] == [round_trips[1]]


@pytest.mark.parametrize("path", ["/users/me", "/items/{item_id}", "/items/", "/users/"])
def test_reading_begins_no_transaction(
    as_admin: TestClient, admin: User, db: Session, round_trips: list[str], path: str
) -> None:
    item_id = make_item(db, owner=admin).id
    round_trips.clear()

    response = as_admin.get(f"/api/v1{path.format(item_id=item_id)}")

    assert response.status_code == 200
    assert all(one.startswith("SELECT") for one in round_trips), round_trips


def test_refused_change_is_rolled_back(
    as_user: TestClient, admin: User, db: Session, round_trips: list[str]
) -> None:
    item_id = make_item(db, owner=admin).id
    round_trips.clear()

    response = as_user.patch(f"/api/v1/items/{item_id}", json={"title": "Mine"})

    assert response.status_code == 404
    assert round_trips[-1] == ROLLBACK
