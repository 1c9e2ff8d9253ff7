"""Every route, and what it answers to each role.

A colleague is a plain user of the manager's department: `{user_id}` is theirs, `{item_id}` their
item. `{user_id=own}` and `{item_id=own}` are the caller's. Below an admin the rest is row scope.
"""

from collections.abc import Callable

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.main import create_app
from app.models import User
from tests.factories import make_item, make_letter, make_user

TABLE = """
                                         anonymous  unverified  user  auditor  manager  admin
POST    /api/v1/auth/login                     200         200   200      200      200    200

GET     /api/v1/users/me                       401         200   200      200      200    200
PATCH   /api/v1/users/me                       401         200   200      200      200    200
PUT     /api/v1/users/me                       401         200   200      200      200    200
DELETE  /api/v1/users/me                       401         204   204      204      204    204
GET     /api/v1/users/me/permissions           401         200   200      200      200    200

GET     /api/v1/users/                         401         403   403      200      200    200
POST    /api/v1/users/                         401         403   403      403      201    201
GET     /api/v1/users/{user_id}                401         404   404      200      200    200
PATCH   /api/v1/users/{user_id}                401         404   404      403      200    200
PUT     /api/v1/users/{user_id}                401         404   404      403      200    200
DELETE  /api/v1/users/{user_id}                401         403   403      403      204    204
GET     /api/v1/users/{user_id}/items          401         403   404      200      200    200
GET     /api/v1/users/{user_id=own}            401         200   200      200      200    200
PATCH   /api/v1/users/{user_id=own}            401         200   200      200      200    200
PUT     /api/v1/users/{user_id=own}            401         200   200      200      200    200
DELETE  /api/v1/users/{user_id=own}            401         403   403      403      204    204
GET     /api/v1/users/{user_id=own}/items      401         403   200      200      200    200

GET     /api/v1/items/                         401         403   200      200      200    200
POST    /api/v1/items/                         401         403   201      403      201    201
GET     /api/v1/items/{item_id}                401         403   404      200      200    200
PATCH   /api/v1/items/{item_id}                401         403   404      403      200    200
PUT     /api/v1/items/{item_id}                401         403   404      403      200    200
DELETE  /api/v1/items/{item_id}                401         403   404      403      204    204
GET     /api/v1/items/{item_id=own}            401         403   200      200      200    200
PATCH   /api/v1/items/{item_id=own}            401         403   200      403      200    200
PUT     /api/v1/items/{item_id=own}            401         403   200      403      200    200
DELETE  /api/v1/items/{item_id=own}            401         403   204      403      204    204

GET     /api/v1/letters/                       401         403   403      403      403    200
POST    /api/v1/letters/{letter_id}/resend     401         403   403      403      403    200

GET     /api/v1/jobs/                          401         403   403      403      403    200
POST    /api/v1/jobs/{name}/run                401         403   403      403      403    200

GET     /account/password                      200         200   200      200      200    200
GET     /account/verify                        200         200   200      200      200    200
GET     /api/v1/openapi.json                   200         200   200      200      200    200
GET     /docs                                  200         200   200      200      200    200
GET     /health                                200         200   200      200      200    200
GET     /health/ready                          200         200   200      200      200    200
"""
BODIES = {
    ("POST", "/api/v1/users/"): {"email": "new@example.com"},
    ("POST", "/api/v1/items/"): {"title": "Shelf"},
    ("POST", "/api/v1/letters/{letter_id}/resend"): None,
}
PASSWORD = "wallpaper-on-tuesday"

HEADING, *LINES = (line.split() for line in TABLE.splitlines() if line)
CELLS = [
    (role, method, path, int(status))
    for method, path, *statuses in LINES
    for role, status in zip(HEADING, statuses, strict=True)
]


@pytest.fixture
def colleague(db: Session) -> User:
    make_user(db, role=Role.ADMIN)  # So that the admin who asks is not the last one.
    return make_user(db, department="Sales")


def make_caller(db: Session, role: str, method: str, path: str) -> User:
    password = PASSWORD if (method, path) == ("POST", "/api/v1/auth/login") else None
    return make_user(
        db,
        email="caller@example.com",
        role=Role.USER if role in {"anonymous", "unverified"} else Role(role),
        is_verified=role != "unverified",
        department="Sales",
        password=password,
    )


@pytest.mark.parametrize(("role", "method", "path", "status"), CELLS)
def test_route_answers_each_role(
    anonymous: TestClient,
    client_of: Callable[[User], TestClient],
    db: Session,
    colleague: User,
    role: str,
    method: str,
    path: str,
    status: int,
) -> None:
    caller = make_caller(db, role, method, path)
    client = anonymous if role == "anonymous" else client_of(caller)
    owner = caller if "=own" in path else colleague
    ids = {
        "user_id": owner.id,
        "item_id": make_item(db, owner=owner).id,
        "letter_id": make_letter(db).id,
        "name": "clean-up",
    }
    url = path.replace("=own", "").format(**ids)

    if method == "GET":
        response = client.get(url)
    elif path.endswith("/login"):
        response = client.post(url, data={"username": caller.email, "password": PASSWORD})
    elif method == "DELETE":
        response = client.delete(url)
    else:
        field = "title" if "/items" in path else "full_name"
        response = client.request(method, url, json=BODIES.get((method, path), {field: "Shelf"}))

    assert response.status_code == status, response.text


def test_table_names_every_route() -> None:
    routes = {
        (method, str(context.path))
        for context in iter_route_contexts(create_app().routes)
        for method in (context.methods or set()) - {"HEAD"}
    }

    table = {(method, path.replace("=own", "")) for _, method, path, _ in CELLS}
    assert without_slash(table) == without_slash(routes)


def without_slash(routes: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """A collection and its twin without the slash are one route."""
    return {(method, path.rstrip("/")) for method, path in routes}
