"""Unknown parameters and fields: refused, with the name that may be meant."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item

API = "/api/v1"
ITEMS = f"{API}/items/"


def text_about(client: TestClient, path: str, name: str) -> str:
    response = client.get(f"{API}{path}", params={name: "1"})
    assert_error(response, 422, "INVALID_REQUEST", name)
    text: str = response.json()["errors"][name]
    return text


@pytest.mark.parametrize(
    ("path", "name", "meant"),
    [
        ("/items/", "page", "skip"),
        ("/items/", "offset", "skip"),
        ("/items/", "per_page", "limit"),
        ("/items/", "pageSize", "limit"),
        ("/items/", "page[size]", "limit"),
        ("/items/", "search", "q"),
        ("/items/", "order_by", "sort"),
        ("/items/", "_page", "skip"),
        ("/items/", "titel", "title"),
        ("/items/", "titel_like", "title_like"),
        ("/items/", "owner", "owner_id"),
        ("/items/", "createdAt", "created_at"),
        ("/items/", "created_at__gte", "created_at_gte"),
        ("/users/", "emial", "email"),
        ("/users/", "fullname", "full_name"),
        ("/usage/", "token", "tokens"),
        ("/audit/", "resource", "resource_id"),
        ("/letters/", "templates", "template"),
        ("/jobs/", "running", "is_running"),
        ("/items/export", "colums", "columns"),
        ("/items/export", "titel", "title"),
        ("/users/departments", "query", "q"),
        ("/users/departments", "per_page", "limit"),
        ("/statistics/timeseries", "intervall", "interval"),
        ("/statistics/timeseries", "from", "since"),
    ],
)
def test_unknown_parameter_is_told_what_may_be_meant(
    as_admin: TestClient, path: str, name: str, meant: str
) -> None:
    assert text_about(as_admin, path, name) == f"Unknown parameter. Did you mean {meant}?"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/items/", "colour"),
        ("/items/", "password"),
        ("/items/", "x" * 150),
        ("/users/", "hashed_password"),
        ("/letters/", "kind"),
        ("/items/export", "page"),
    ],
)
def test_unknown_parameter_is_told_nothing_where_nothing_is_like_it(
    as_admin: TestClient, path: str, name: str
) -> None:
    assert text_about(as_admin, path, name) == "Unknown parameter."


def test_misspelt_dry_run_is_told_what_is_meant(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    item = make_item(db, owner=admin)

    response = as_admin.delete(f"{ITEMS}{item.id}", params={"dryrun": "true"})

    assert response.json()["errors"] == {"dryrun": "Unknown parameter. Did you mean dry_run?"}


@pytest.mark.parametrize(
    ("name", "meant"), [("titel", "title"), ("search", "q"), ("owner", "owner_id")]
)
def test_unknown_field_of_a_filter_is_told_what_may_be_meant(
    as_admin: TestClient, name: str, meant: str
) -> None:
    listed = as_admin.get(ITEMS, params={"filter": json.dumps({name: "x"})})
    bulk = as_admin.post(f"{ITEMS}bulk/delete", json={"filter": {name: "x"}})

    text = f"Unknown parameter. Did you mean {meant}?"
    assert listed.json()["errors"] == {name: text}
    assert bulk.json()["errors"] == {f"filter.{name}": text}


@pytest.mark.parametrize(
    "asked",
    [
        {"sort": "descripton"},
        {"sort": "-descripton"},
        {"sort": '["descripton","ASC"]'},
        {"_sort": "descripton"},
    ],
)
def test_unknown_field_to_sort_by_is_told_what_may_be_meant(
    as_admin: TestClient, asked: dict[str, str]
) -> None:
    response = as_admin.get(ITEMS, params=asked)

    (text,) = response.json()["errors"].values()
    assert "Did you mean description?" in text
    assert text.endswith(
        "Choose one of: created_at, description, id, owner_id, status, title, updated_at, version."
    )


def test_unknown_parameters_are_told_of_however_many(as_admin: TestClient) -> None:
    names = [f"titel{number}" for number in range(1000)]

    response = as_admin.get(ITEMS, params=dict.fromkeys(names, "1"))

    errors = response.json()["errors"]
    assert set(errors) == set(names)
    assert sum("Did you mean" in text for text in errors.values()) == 10


# --- Bodies.


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "text"),
    [
        ("POST", "/items/", {"titel": "x"}, "titel", " Did you mean title?"),
        ("POST", "/users/", {"e_mail": "x"}, "e_mail", " Did you mean email?"),
        ("POST", "/users/", {"passwort": "x"}, "passwort", ""),
        ("POST", "/users/", {"colour": "x"}, "colour", ""),
        ("POST", "/items/bulk", {"items": [{"titel": 1}]}, "items.0.titel", " Did you mean title?"),
        ("POST", "/items/bulk", {"item": []}, "item", " Did you mean items?"),
        ("PATCH", "/items/ID", {"titel": "x"}, "titel", " Did you mean title?"),
        ("PUT", "/items/ID", {"ownerId": 1}, "ownerId", " Did you mean owner_id?"),
        ("PATCH", "/users/me", {"pasword": "x"}, "pasword", ""),
        ("POST", "/auth/refresh", {"refreshtoken": "x"}, "refreshtoken", ""),
    ],
)
def test_unknown_field_is_told_what_may_be_meant_unless_it_is_a_secret(
    as_admin: TestClient,
    db: Session,
    admin: User,
    method: str,
    path: str,
    body: dict[str, Any],
    field: str,
    text: str,
) -> None:
    url = API + path.replace("ID", str(make_item(db, owner=admin).id))

    response = as_admin.request(method, url, json=body)

    assert response.status_code == 422
    assert response.json()["errors"][field] == f"Unknown field.{text}"


def test_unknown_field_of_bulk_changes_is_told_what_may_be_meant(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    body = {"ids": [make_item(db, owner=admin).id], "changes": {"titel": "x"}}

    response = as_admin.patch(f"{ITEMS}bulk", json=body)

    assert response.json()["errors"] == {"changes.titel": "Unknown field. Did you mean title?"}
