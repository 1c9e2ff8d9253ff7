"""Every route, and what it answers to each caller.

`owing` is a user who has to choose another password first. A colleague is a plain user of the
manager's department: `{user_id}` is theirs, `{item_id}` their item, `{session_id}` their login.
With `=own` it is the caller's. Below an admin the rest is row scope.
"""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.main import create_app
from app.models import User
from tests.factories import make_user
from tests.route_requests import PASSWORD, body_of, fill_in

TABLE = """
                                               anonymous owing unverified user auditor manager admin
POST    /api/v1/auth/login                           200   200        200  200     200     200   200
POST    /api/v1/auth/refresh                         200   200        200  200     200     200   200
POST    /api/v1/auth/logout                          401   204        204  204     204     204   204
POST    /api/v1/auth/logout-all                      401   204        204  204     204     204   204
GET     /api/v1/auth/sessions                        401   200        200  200     200     200   200
DELETE  /api/v1/auth/sessions/{session_id}           401   404        404  404     404     404   404
DELETE  /api/v1/auth/sessions/{session_id=own}       401   204        204  204     204     204   204

POST    /api/v1/auth/register                        403   403        403  403     403     403   403
POST    /api/v1/auth/email/verify                    202   202        202  202     202     202   202
POST    /api/v1/auth/email/verify/confirm            400   400        400  400     400     400   400
POST    /api/v1/auth/password/forgot                 202   202        202  202     202     202   202
POST    /api/v1/auth/password/reset                  400   400        400  400     400     400   400
POST    /api/v1/users/me/password                    401   204        204  204     204     204   204

GET     /api/v1/users/me                             401   200        200  200     200     200   200
PATCH   /api/v1/users/me                             401   403        200  200     200     200   200
PUT     /api/v1/users/me                             401   403        200  200     200     200   200
DELETE  /api/v1/users/me                             401   403        204  204     204     204   204
GET     /api/v1/users/me/permissions                 401   200        200  200     200     200   200
GET     /api/v1/users/me/sessions                    401   403        200  200     200     200   200
DELETE  /api/v1/users/me/sessions                    401   403        204  204     204     204   204
GET     /api/v1/users/me/usage                       401   403        403  200     200     200   200

GET     /api/v1/users/                               401   403        403  403     200     200   200
POST    /api/v1/users/                               401   403        403  403     403     201   201
POST    /api/v1/users/bulk                           401   403        403  403     403     201   201
PATCH   /api/v1/users/bulk                           401   403        403  403     403     200   200
POST    /api/v1/users/bulk/delete                    401   403        403  403     403     200   200
POST    /api/v1/users/bulk/restore                   401   403        403  403     403     200   200
POST    /api/v1/users/import                         401   403        403  403     403     200   200
GET     /api/v1/users/import/template                401   403        403  403     403     200   200
GET     /api/v1/users/departments                    401   403        403  403     200     200   200
GET     /api/v1/users/export                         401   403        403  403     200     200   200
GET     /api/v1/users/{user_id}                      401   403        404  404     200     200   200
PATCH   /api/v1/users/{user_id}                      401   403        404  404     403     200   200
PUT     /api/v1/users/{user_id}                      401   403        404  404     403     200   200
DELETE  /api/v1/users/{user_id}                      401   403        403  403     403     204   204
POST    /api/v1/users/{user_id}/restore              401   403        403  403     403     409   409
GET     /api/v1/users/{user_id}/impact               401   403        404  404     200     200   200
GET     /api/v1/users/{user_id}/items                401   403        403  404     200     200   200
GET     /api/v1/users/{user_id}/stats                401   403        403  404     200     200   200
GET     /api/v1/users/{user_id}/sessions             401   403        403  403     403     403   200
DELETE  /api/v1/users/{user_id}/sessions             401   403        403  403     403     403   204
GET     /api/v1/users/{user_id=own}                  401   403        200  200     200     200   200
PATCH   /api/v1/users/{user_id=own}                  401   403        200  200     200     200   200
PUT     /api/v1/users/{user_id=own}                  401   403        200  200     200     200   200
DELETE  /api/v1/users/{user_id=own}                  401   403        403  403     403     204   204
POST    /api/v1/users/{user_id=own}/restore          401   403        403  403     403     403   409
GET     /api/v1/users/{user_id=own}/impact           401   403        200  200     200     200   200
GET     /api/v1/users/{user_id=own}/items            401   403        403  200     200     200   200
GET     /api/v1/users/{user_id=own}/stats            401   403        403  200     200     200   200
GET     /api/v1/users/{user_id=own}/sessions         401   403        403  403     403     403   200
DELETE  /api/v1/users/{user_id=own}/sessions         401   403        403  403     403     403   204

GET     /api/v1/items/                               401   403        403  200     200     200   200
POST    /api/v1/items/                               401   403        403  201     403     201   201
POST    /api/v1/items/bulk                           401   403        403  201     403     201   201
PATCH   /api/v1/items/bulk                           401   403        403  200     403     200   200
POST    /api/v1/items/bulk/delete                    401   403        403  200     403     200   200
POST    /api/v1/items/bulk/restore                   401   403        403  200     403     200   200
POST    /api/v1/items/import                         401   403        403  200     403     200   200
GET     /api/v1/items/import/template                401   403        403  200     403     200   200
GET     /api/v1/items/export                         401   403        403  200     200     200   200
GET     /api/v1/items/{item_id}                      401   403        403  404     200     200   200
PATCH   /api/v1/items/{item_id}                      401   403        403  404     403     200   200
PUT     /api/v1/items/{item_id}                      401   403        403  404     403     200   200
DELETE  /api/v1/items/{item_id}                      401   403        403  404     403     204   204
POST    /api/v1/items/{item_id}/restore              401   403        403  404     403     409   409
GET     /api/v1/items/{item_id=own}                  401   403        403  200     200     200   200
PATCH   /api/v1/items/{item_id=own}                  401   403        403  200     403     200   200
PUT     /api/v1/items/{item_id=own}                  401   403        403  200     403     200   200
DELETE  /api/v1/items/{item_id=own}                  401   403        403  204     403     204   204
POST    /api/v1/items/{item_id=own}/restore          401   403        403  409     403     409   409

GET     /api/v1/usage/                               401   403        403  200     200     200   200
POST    /api/v1/usage/                               401   403        403  201     403     201   201
GET     /api/v1/usage/export                         401   403        403  200     200     200   200
GET     /api/v1/usage/{event_id}                     401   403        403  404     200     200   200
GET     /api/v1/usage/{event_id=own}                 401   403        403  200     200     200   200

GET     /api/v1/statistics/overview                  401   403        403  200     200     200   200
GET     /api/v1/statistics/timeseries?metric=items   401   403        403  200     200     200   200

GET     /api/v1/audit/                               401   403        403  403     200     403   200
POST    /api/v1/audit/{request_id}/revert            401   403        403  403     403     403   404
GET     /api/v1/audit/export                         401   403        403  403     200     403   200
GET     /api/v1/audit/{audit_event_id}               401   403        403  403     200     403   200
GET     /api/v1/letters/                             401   403        403  403     403     403   200
GET     /api/v1/letters/{letter_id}                  401   403        403  403     403     403   200
POST    /api/v1/letters/{letter_id}/resend           401   403        403  403     403     403   200
GET     /api/v1/jobs/                                401   403        403  403     403     403   200
GET     /api/v1/jobs/{name}                          401   403        403  403     403     403   200
POST    /api/v1/jobs/{name}/run                      401   403        403  403     403     403   200

GET     /                                            404   404        404  404     404     404   404
GET     /account                                     404   404        404  404     404     404   404
GET     /account/                                    200   200        200  200     200     200   200
GET     /account/change                              200   200        200  200     200     200   200
GET     /account/forgot                              200   200        200  200     200     200   200
GET     /account/password                            200   200        200  200     200     200   200
GET     /account/resend                              200   200        200  200     200     200   200
GET     /account/verify                              200   200        200  200     200     200   200
GET     /account/{page:path}                         404   404        404  404     404     404   404
GET     /api/v1/openapi.json                         200   200        200  200     200     200   200
GET     /docs                                        200   200        200  200     200     200   200
GET     /health                                      200   200        200  200     200     200   200
GET     /health/ready                                200   200        200  200     200     200   200
"""
CALLERS: dict[str, dict[str, Any]] = {
    "anonymous": {},
    "owing": {"must_change_password": True},
    "unverified": {"is_verified": False},
    **{str(role): {"role": role} for role in Role},
}

HEADING, *LINES = (line.split() for line in TABLE.splitlines() if line)
CELLS = [
    (caller, method, path, int(status))
    for method, path, *statuses in LINES
    for caller, status in zip(HEADING, statuses, strict=True)
]


@pytest.fixture
def colleague(db: Session) -> User:
    make_user(db, role=Role.ADMIN)  # So that the admin who asks is not the last one.
    return make_user(db, department="Sales")


@pytest.mark.parametrize(("caller", "method", "path", "status"), CELLS)
def test_route_answers_each_caller(
    anonymous: TestClient,
    client_of: Callable[[User], TestClient],
    db: Session,
    colleague: User,
    caller: str,
    method: str,
    path: str,
    status: int,
) -> None:
    needs_password = path.endswith(("/login", "/password"))
    user = make_user(
        db,
        email="caller@example.com",
        department="Sales",
        password=PASSWORD if needs_password else None,
        **CALLERS[caller],
    )
    client = anonymous if caller == "anonymous" else client_of(user)

    response = client.request(
        method, fill_in(path, db, user if "=own" in path else colleague), **body_of(method, path)
    )

    assert response.status_code == status, response.text


def test_table_names_every_caller() -> None:
    assert set(HEADING) == set(CALLERS)


def test_table_names_every_route() -> None:
    routes = {
        (method, str(context.path))
        for context in iter_route_contexts(create_app().routes)
        for method in (context.methods or set()) - {"HEAD"}
    }

    table = {(method, path.replace("=own", "").partition("?")[0]) for _, method, path, _ in CELLS}
    assert without_slash(table) == without_slash(routes)


def without_slash(routes: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """A collection and its twin without the slash are one route."""
    return {(method, path.rstrip("/")) for method, path in routes}
