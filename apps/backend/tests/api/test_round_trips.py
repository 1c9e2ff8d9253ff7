"""How many messages to PostgreSQL each route takes, for an admin.

A prepared statement is prepared in the same message as its first execution, `BEGIN` comes with the
first statement, and the event in the audit with the next one or with `COMMIT`.
"""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.api.api import route_contexts
from app.core.clock import utc_now
from app.core.permissions import Role
from app.db.prepared import RUNS_BEFORE_PREPARED
from app.main import create_app
from app.models import User
from tests.driver import BEGIN, COMMIT, ROLLBACK
from tests.factories import make_item, make_user
from tests.route_requests import PASSWORD, body_of, fill_in

# What is answered, and how many messages that takes.
TABLE = """
POST   /api/v1/auth/email/verify                    202  3
POST   /api/v1/auth/email/verify/confirm            400  3
POST   /api/v1/auth/login                           200  6
POST   /api/v1/auth/logout                          204  4
POST   /api/v1/auth/logout-all                      204  6
POST   /api/v1/auth/password/forgot                 202  3
POST   /api/v1/auth/password/reset                  400  1
POST   /api/v1/auth/refresh                         200  5
POST   /api/v1/auth/register                        403  0
GET    /api/v1/auth/sessions                        200  2
DELETE /api/v1/auth/sessions/{session_id}           204  4
GET    /api/v1/users/                               200  2
POST   /api/v1/users/                               201  9
POST   /api/v1/users/bulk                           201 12
PATCH  /api/v1/users/bulk                           200  4
POST   /api/v1/users/bulk/delete                    200  4
POST   /api/v1/users/bulk/restore                   200  4
GET    /api/v1/users/departments                    200  2
GET    /api/v1/users/export                         200  5
POST   /api/v1/users/import                         200 13
GET    /api/v1/users/import/template                200  1
GET    /api/v1/users/me                             200  1
PATCH  /api/v1/users/me                             200  4
PUT    /api/v1/users/me                             200  4
DELETE /api/v1/users/me                             204  8
POST   /api/v1/users/me/password                    204 10
GET    /api/v1/users/me/permissions                 200  1
GET    /api/v1/users/me/sessions                    200  2
DELETE /api/v1/users/me/sessions                    204  5
GET    /api/v1/users/me/usage                       200  3
GET    /api/v1/users/{user_id}                      200  2
PATCH  /api/v1/users/{user_id}                      200  4
PUT    /api/v1/users/{user_id}                      200  4
DELETE /api/v1/users/{user_id}                      204  6
GET    /api/v1/users/{user_id}/impact               200  3
GET    /api/v1/users/{user_id}/items                200  3
POST   /api/v1/users/{user_id}/restore              409  3
GET    /api/v1/users/{user_id}/sessions             200  3
DELETE /api/v1/users/{user_id}/sessions             204  6
GET    /api/v1/users/{user_id}/stats                200  2
GET    /api/v1/items/                               200  2
POST   /api/v1/items/                               201  3
POST   /api/v1/items/bulk                           201  5
PATCH  /api/v1/items/bulk                           200  4
POST   /api/v1/items/bulk/delete                    200  4
POST   /api/v1/items/bulk/restore                   200  4
GET    /api/v1/items/export                         200  5
POST   /api/v1/items/import                         200  5
GET    /api/v1/items/import/template                200  1
GET    /api/v1/items/{item_id}                      200  2
PATCH  /api/v1/items/{item_id}                      200  4
PUT    /api/v1/items/{item_id}                      200  4
DELETE /api/v1/items/{item_id}                      204  4
POST   /api/v1/items/{item_id}/restore              409  3
GET    /api/v1/usage/                               200  2
POST   /api/v1/usage/                               201  4
GET    /api/v1/usage/export                         200  5
GET    /api/v1/usage/{event_id}                     200  2
GET    /api/v1/statistics/overview                  200  3
GET    /api/v1/statistics/timeseries?metric=items   200  2
GET    /api/v1/audit/                               200  2
GET    /api/v1/audit/export                         200  5
GET    /api/v1/audit/{audit_event_id}               200  2
POST   /api/v1/audit/{request_id}/revert            404  3
GET    /api/v1/letters/                             200  2
GET    /api/v1/letters/{letter_id}                  200  2
POST   /api/v1/letters/{letter_id}/resend           200  3
GET    /api/v1/jobs/                                200  2
GET    /api/v1/jobs/{name}                          200  2
POST   /api/v1/jobs/{name}/run                      200 18
GET    /health                                      200  0
GET    /health/ready                                200  2
"""
LINES = [line.split() for line in TABLE.splitlines() if line]

# Of writing, what the messages are. Each begins with the caller, and ends with COMMIT.
WRITING_TABLE = """
POST   /api/v1/items/                     3  the row
PATCH  /api/v1/items/{item_id}            4  the locked row, the change
PATCH  /api/v1/items/{unchanged_id}       3  the locked row
DELETE /api/v1/items/{item_id}            4  the locked row, the change
POST   /api/v1/items/{deleted_id}/restore 4  the locked row, the change
POST   /api/v1/usage/                     4  the counter, the entry
PATCH  /api/v1/users/{user_id}            4  the locked row, the change
PATCH  /api/v1/users/me                   4  the locked row, the change
DELETE /api/v1/users/{user_id}            6  the locked row, sessions, links, the change
"""
WRITING_LINES = [line.split(maxsplit=3) for line in WRITING_TABLE.splitlines() if line]
BODIES: dict[str, Any] = {
    "/api/v1/items/": {"title": "Desk lamp"},
    "/api/v1/items/{item_id}": {"title": "Floor lamp"},
    "/api/v1/items/{unchanged_id}": {"title": "Lamp"},
    "/api/v1/usage/": {"kind": "letters", "tokens": 3},
    "/api/v1/users/{user_id}": {"full_name": "Ann Lee"},
    "/api/v1/users/me": {"full_name": "Ann Lee"},
}


@pytest.mark.postgresql
@pytest.mark.parametrize(("method", "path", "status", "number"), LINES)
def test_route_takes_as_many_round_trips_as_the_table_says(
    client_of: Callable[[User], TestClient],
    db: Session,
    round_trips: list[str],
    method: str,
    path: str,
    status: str,
    number: str,
) -> None:
    make_user(db, role=Role.ADMIN)  # So that the one who asks is not the last.
    password = PASSWORD if path.endswith(("/login", "/password")) else None
    admin = make_user(db, email="caller@example.com", role=Role.ADMIN, password=password)
    client = client_of(admin)
    prepare_events(client)
    filled = fill_in(path, db, admin if "{session_id}" in path else make_user(db))
    round_trips.clear()

    response = client.request(method, filled, **body_of(method, path))

    assert response.status_code == int(status), response.text
    assert len(round_trips) == int(number), round_trips


def prepare_events(client: TestClient) -> None:
    """An event is prepared once for each connection, in a message of its own."""
    for _ in range(2 * RUNS_BEFORE_PREPARED):
        assert client.post("/api/v1/items/", json={"title": "Desk lamp"}).status_code == 201


def test_table_names_every_route() -> None:
    routes = {
        (method, str(context.path))
        for context in route_contexts(create_app())
        for method in context.methods or ()
    }

    assert {(method, path.partition("?")[0]) for method, path, *_ in LINES} == routes


@pytest.mark.postgresql
@pytest.mark.parametrize(("method", "path", "number", "told"), WRITING_LINES)
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
    prepare_events(as_admin)
    round_trips.clear()

    body = BODIES.get(path) if method != "DELETE" else None
    response = as_admin.request(method, path.format(**ids), json=body)

    assert response.is_success, response.text
    assert len(round_trips) == int(number), (told, round_trips)
    assert [one for one in round_trips if one.endswith((COMMIT, ROLLBACK))] == [round_trips[-1]]
    assert round_trips[-1].endswith(COMMIT)
    assert [one for one in round_trips if one.startswith(BEGIN)] == [round_trips[1]]


@pytest.mark.postgresql
@pytest.mark.parametrize("path", ["/users/me", "/items/{item_id}", "/items/", "/users/"])
def test_reading_begins_no_transaction(
    as_admin: TestClient, admin: User, db: Session, round_trips: list[str], path: str
) -> None:
    item_id = make_item(db, owner=admin).id
    round_trips.clear()

    response = as_admin.get(f"/api/v1{path.format(item_id=item_id)}")

    assert response.status_code == 200
    assert all(one.startswith("SELECT") for one in round_trips), round_trips


@pytest.mark.postgresql
def test_refused_change_is_rolled_back(
    as_user: TestClient, admin: User, db: Session, round_trips: list[str]
) -> None:
    item_id = make_item(db, owner=admin).id
    round_trips.clear()

    response = as_user.patch(f"/api/v1/items/{item_id}", json={"title": "Mine"})

    assert response.status_code == 404
    assert round_trips[-1] == ROLLBACK
