"""`?dry_run=true`: what would happen is told, and does not happen."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.main import create_app
from app.models import AuditEvent, User
from tests.assertions import assert_error
from tests.factories import make_item, make_user
from tests.rows import every_row

ITEMS = "/api/v1/items/"
USERS = "/api/v1/users/"
DRY = {"dry_run": "true"}
# Of what creates, changes or deletes: the account's own ways in and out, and what is no record.
WITHOUT = {
    ("DELETE", "/api/v1/auth/sessions/{session_id}"),
    ("DELETE", "/api/v1/users/me/sessions"),
    ("DELETE", "/api/v1/users/{user_id}/sessions"),
    ("POST", "/api/v1/letters/{letter_id}/resend"),
    ("POST", "/api/v1/jobs/{name}/run"),
    ("POST", "/api/v1/usage"),
    ("POST", "/api/v1/users/me/password"),
}


def test_create_item_dry_tells_what_would_be_made(
    as_user: TestClient, user: User, db: Session
) -> None:
    before = every_row(db)

    answer = as_user.post(ITEMS, json={"title": "Lamp"}, params=DRY)

    assert answer.status_code == 200
    assert answer.json() == {
        "dry_run": True,
        "changes": [
            {
                "id": None,
                "resource_type": "item",
                "action": "create",
                "fields": {
                    "owner_id": [None, user.id],
                    "status": [None, "draft"],
                    "title": [None, "Lamp"],
                },
            }
        ],
        "errors": {},
    }
    assert "location" not in answer.headers
    assert every_row(db) == before


def test_update_user_dry_tells_what_would_change(
    as_admin: TestClient, user: User, db: Session
) -> None:
    before = every_row(db)

    answer = as_admin.patch(f"{USERS}{user.id}", json={"department": "Support"}, params=DRY)

    (change,) = answer.json()["changes"]
    assert (change["id"], change["action"]) == (user.id, "update")
    assert change["fields"] == {"department": ["Sales", "Support"]}
    assert every_row(db) == before


def test_update_user_dry_that_changes_nothing_tells_nothing(
    as_admin: TestClient, user: User
) -> None:
    answer = as_admin.patch(f"{USERS}{user.id}", json={"department": "Sales"}, params=DRY)

    assert answer.json()["changes"] == []


def test_delete_user_dry_ends_no_session(
    as_admin: TestClient, as_user: TestClient, user: User, db: Session
) -> None:
    answer = as_admin.delete(f"{USERS}{user.id}", params=DRY)

    (change,) = answer.json()["changes"]
    assert answer.status_code == 200
    assert (change["id"], change["action"]) == (user.id, "delete")
    assert as_user.get(f"{USERS}me").status_code == 200


def test_create_user_dry_writes_no_letter(as_admin: TestClient, db: Session) -> None:
    before = every_row(db)

    answer = as_admin.post(USERS, json={"email": "new@example.com"}, params=DRY)

    assert answer.status_code == 200
    assert every_row(db) == before


@pytest.mark.parametrize(
    ("email", "status", "code"),
    [("user@example.com", 409, "EMAIL_TAKEN"), ("no", 422, "INVALID_REQUEST")],
)
def test_create_user_dry_refuses_as_the_deed_would(
    as_admin: TestClient, user: User, email: str, status: int, code: str
) -> None:
    refused = as_admin.post(USERS, json={"email": email}, params=DRY)

    assert_error(refused, status, code, "email")


def test_update_item_dry_needs_the_same_permission(
    client_of: Callable[[User], TestClient], as_auditor: TestClient, user: User, db: Session
) -> None:
    url = f"{ITEMS}{make_item(db, owner=user).id}"
    stranger = client_of(make_user(db))

    assert_error(as_auditor.patch(url, json={"title": "X"}, params=DRY), 403, "PERMISSION_DENIED")
    assert_error(stranger.patch(url, json={"title": "X"}, params=DRY), 404, "ITEM_NOT_FOUND")


def test_create_item_dry_leaves_the_key_free(as_user: TestClient, db: Session) -> None:
    key = {"Idempotency-Key": "k1"}

    first = as_user.post(ITEMS, json={"title": "Lamp"}, params=DRY, headers=key)
    then = as_user.post(ITEMS, json={"title": "Lamp"}, headers=key)

    assert (first.status_code, then.status_code) == (200, 201)


def test_create_item_dry_leaves_no_trace_in_the_audit(as_user: TestClient, db: Session) -> None:
    as_user.post(ITEMS, json={"title": "Lamp"}, params=DRY)

    assert db.query(AuditEvent).filter_by(resource_type="item").count() == 0


@pytest.mark.parametrize("value", ["maybe", "2", ""])
def test_create_item_refuses_an_unclear_dry_run(
    as_user: TestClient, db: Session, value: str
) -> None:
    before = every_row(db)

    refused = as_user.post(ITEMS, json={"title": "Lamp"}, params={"dry_run": value})

    assert_error(refused, 422, "INVALID_REQUEST", "dry_run")
    assert every_row(db) == before


def test_every_change_of_records_can_be_tried() -> None:
    without = {
        (method.upper(), path)
        for path, operations in create_app().openapi()["paths"].items()
        for method, operation in operations.items()
        if method != "get" and not (method == "post" and "/auth/" in path)
        if "dry_run" not in {one["name"] for one in operation.get("parameters", ())}
    }

    assert without == WITHOUT


def test_create_item_refuses_a_dry_run_that_is_taken_back(as_user: TestClient, db: Session) -> None:
    before = every_row(db)

    refused = as_user.post(f"{ITEMS}?dry_run=true&dry_run=false", json={"title": "Lamp"})

    assert_error(refused, 422, "INVALID_REQUEST", "dry_run")
    assert every_row(db) == before
