"""The trash is a list as any other, of what was deleted, for who may bring it back."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Permission, Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user

USERS = "/api/v1/users/"
ITEMS = "/api/v1/items/"
TRASHED = 5


@pytest.fixture(params=["users", "items"])
def url(request: pytest.FixtureRequest, db: Session, admin: User) -> str:
    """The address of a list with five records in its trash, and one or two that live."""
    for number in range(TRASHED):
        if request.param == "items":
            make_item(db, owner=admin, title=f"old {number}", deleted_at=utc_now())
        else:
            make_user(db, full_name=f"old {number}", deleted_at=utc_now())
    make_item(db, owner=admin, title="new")
    make_user(db, full_name="new")
    return f"/api/v1/{request.param}/"


def names(records: list[dict[str, Any]]) -> list[str | None]:
    return [record.get("title") or record.get("full_name") for record in records]


def test_trash_holds_what_was_deleted_and_nothing_else(as_admin: TestClient, url: str) -> None:
    response = as_admin.get(url, params={"deleted": "true"})

    assert names(response.json()) == [f"old {number}" for number in range(TRASHED)]
    assert response.headers["x-total-count"] == "5"


def test_trash_gets_what_is_deleted_by_a_request(as_admin: TestClient, url: str) -> None:
    record = as_admin.get(url).json()[-1]
    as_admin.delete(f"{url}{record['id']}")

    response = as_admin.get(url, params={"deleted": "true", "id": record["id"]})

    changed = {name: response.json()[0][name] for name in ("updated_at", "version")}
    assert response.json() == [record | changed]
    assert changed["version"] == record["version"] + 1


def test_trash_shows_the_same_fields_as_the_list(as_admin: TestClient, url: str) -> None:
    lists = [as_admin.get(url, params={"deleted": value}).json() for value in ("true", "false")]

    assert set(lists[0][0]) == set(lists[1][0])


def test_list_says_that_it_is_no_trash(as_admin: TestClient, url: str) -> None:
    plain, explicit = as_admin.get(url), as_admin.get(url, params={"deleted": "false"})

    assert explicit.json() == plain.json()
    assert "new" in names(plain.json())


def test_trash_is_filtered_sorted_and_paged(as_admin: TestClient, url: str) -> None:
    asked: dict[str, Any] = {
        "deleted": "true",
        "q": "old",
        "id_gt": 1,
        "sort": "-id",
        "skip": 1,
        "limit": 2,
    }

    response = as_admin.get(url, params=asked)

    assert names(response.json()) == ["old 3", "old 2"]
    assert response.headers["content-range"].endswith("1-2/5")
    assert response.headers["link"].count("deleted=true") == 4


def test_trash_counts_where_a_page_does_not_tell(as_admin: TestClient, url: str) -> None:
    response = as_admin.get(url, params={"deleted": "true", "limit": 1})

    assert response.headers["x-total-count"] == "5"


def test_trash_is_paged_by_cursor(as_admin: TestClient, url: str) -> None:
    asked: dict[str, Any] = {"deleted": "true", "sort": "-created_at", "limit": 3}
    first = as_admin.get(url, params=asked)

    second = as_admin.get(url, params=asked | {"after": first.headers["x-next-cursor"]})

    found = names(first.json()) + names(second.json())
    assert found == [f"old {number}" for number in reversed(range(TRASHED))]


@pytest.mark.parametrize(("made_by", "used_by"), [("true", "false"), ("false", "true")])
def test_trash_and_list_take_no_cursors_of_one_another(
    as_admin: TestClient, db: Session, admin: User, url: str, made_by: str, used_by: str
) -> None:
    make_item(db, owner=admin)
    page = as_admin.get(url, params={"deleted": made_by, "limit": 1})

    cursor = page.headers["x-next-cursor"]
    response = as_admin.get(url, params={"deleted": used_by, "limit": 1, "after": cursor})

    assert_error(response, 422, "INVALID_CURSOR", "after")


@pytest.mark.parametrize(
    "asked",
    [
        {"filter": json.dumps({"deleted": True, "q": "old"}), "range": "[0,1]"},
        {"filter": json.dumps({"deleted": "true"}), "range": "[0,1]"},
        {"deleted": "true", "_start": "0", "_end": "2", "_sort": "id", "_order": "asc"},
    ],
    ids=["simple-rest", "simple-rest text", "json-server"],
)
def test_trash_is_understood_in_every_dialect(
    as_admin: TestClient, url: str, asked: dict[str, str]
) -> None:
    response = as_admin.get(url.rstrip("/"), params=asked)

    assert names(response.json()) == ["old 0", "old 1"]
    assert response.headers["content-range"].endswith("0-1/5")


@pytest.mark.parametrize("query", ["deleted=maybe", "deleted=", "deleted=true&deleted=false"])
def test_trash_refuses_what_is_neither_true_nor_false(
    as_admin: TestClient, url: str, query: str
) -> None:
    response = as_admin.get(f"{url}?{query}")

    assert_error(response, 422, "INVALID_REQUEST", "deleted")


@pytest.mark.parametrize("unit", ["audit", "letters"])
def test_list_without_a_trash_knows_no_such_parameter(as_admin: TestClient, unit: str) -> None:
    response = as_admin.get(f"/api/v1/{unit}/?deleted=false")

    assert_error(response, 422, "INVALID_REQUEST", "deleted")


def test_trash_of_one_users_items_holds_theirs(
    as_admin: TestClient, db: Session, user: User, admin: User
) -> None:
    make_item(db, owner=admin, deleted_at=utc_now())
    theirs = make_item(db, owner=user, deleted_at=utc_now())
    make_item(db, owner=user)

    response = as_admin.get(f"{USERS}{user.id}/items", params={"deleted": "true"})

    assert [record["id"] for record in response.json()] == [theirs.id]
    assert response.headers["x-total-count"] == "1"


# --- Who sees it.


@pytest.mark.parametrize(
    "path", [USERS, ITEMS, USERS + "{id}/items", USERS + "export", ITEMS + "export"]
)
def test_trash_is_not_for_who_may_not_restore(
    as_auditor: TestClient, db: Session, user: User, path: str
) -> None:
    make_item(db, owner=user, deleted_at=utc_now())
    make_user(db, deleted_at=utc_now())

    response = as_auditor.get(path.format(id=user.id), params={"deleted": "true"})

    assert_error(response, 403, "PERMISSION_DENIED")
    assert as_auditor.get(path.format(id=user.id)).status_code == 200


def test_trash_of_items_is_in_the_scope_of_the_role(
    client_of: Callable[[User], TestClient], db: Session, admin: User, manager: User, user: User
) -> None:
    stranger = make_user(db, department="Kitchen")
    owners = {"own": user, "colleague": manager, "stranger": stranger, "admin": admin}
    for title, owner in owners.items():
        make_item(db, owner=owner, title=title, deleted_at=utc_now())

    seen = {
        caller.role: sorted(map(str, names(client_of(caller).get(f"{ITEMS}?deleted=true").json())))
        for caller in (user, manager, admin)
    }

    assert seen == {
        Role.USER: ["own"],
        Role.MANAGER: ["colleague", "own"],
        Role.ADMIN: sorted(owners),
    }


def test_trash_of_users_is_in_the_scope_of_the_role(as_manager: TestClient, db: Session) -> None:
    make_user(db, department="Sales", full_name="colleague", deleted_at=utc_now())
    make_user(db, department="Kitchen", full_name="stranger", deleted_at=utc_now())

    response = as_manager.get(f"{USERS}?deleted=true")

    assert names(response.json()) == ["colleague"]
    assert response.headers["x-total-count"] == "1"


# --- What the document says.


def test_trash_is_documented_where_there_is_one(anonymous: TestClient) -> None:
    paths = anonymous.get("/api/v1/openapi.json").json()["paths"]
    documented = {
        path: parameter
        for path, operations in paths.items()
        for parameter in operations.get("get", {}).get("parameters", [])
        if parameter["name"] == "deleted"
    }

    users, items = USERS.rstrip("/"), ITEMS.rstrip("/")
    assert set(documented) >= {users, items, f"{users}/{{user_id}}/items"}
    assert all(one["schema"]["type"] == "boolean" for one in documented.values())
    assert Permission.USERS_WRITE in documented[users]["description"]
