"""Requests that are odd rather than wrong by a letter: each gets a short refusal at little cost."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user

API = "/api/v1"
MANY = {f"k{number}": number for number in range(20_000)}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/users/me", MANY),
        ("POST", "/items/", MANY | {"title": "Lamp"}),
        ("POST", "/items/bulk", {"items": [MANY | {"title": "Lamp"}] * 3}),
        ("PATCH", "/items/bulk", {"ids": [1], "changes": MANY}),
    ],
)
def test_thousands_of_unknown_fields_are_told_briefly(
    as_admin: TestClient, method: str, path: str, body: Any
) -> None:
    response = as_admin.request(method, API + path, json=body)

    assert response.status_code == 422
    assert len(response.content) < 5_000


@pytest.mark.parametrize("path", ["/items/", "/users/", "/items/export"])
@pytest.mark.parametrize("name", ["id_gt", "created_at", "created_at_lte"])
def test_list_bounds_what_is_compared_one_by_one(
    as_admin: TestClient, path: str, name: str
) -> None:
    value = "7" if name == "id_gt" else "2026-01-01"

    taken = as_admin.get(API + path, params={name: [value] * 100})
    refused = as_admin.get(API + path, params={name: [value] * 101})

    assert taken.status_code == 200
    assert_error(refused, 422, "INVALID_REQUEST", name)


@pytest.mark.parametrize("charset", ["undefined", "punycode", "unicode_escape", "utf-16"])
def test_form_is_in_utf8_whatever_it_says(anonymous: TestClient, charset: str) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="username"\r\n\r\nann\r\n--B--\r\n'
    kind = f"multipart/form-data; charset={charset}; boundary=B"

    response = anonymous.post(f"{API}/auth/login", content=body, headers={"Content-Type": kind})

    assert_error(response, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("body", [b"username=ann%ff&password=x", b"username=ann\xff&password=x"])
def test_form_that_is_not_utf8_is_refused(anonymous: TestClient, body: bytes) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}

    assert anonymous.post(f"{API}/auth/login", content=body, headers=kind).status_code == 400


@pytest.mark.parametrize("heading", [" ", " , ", '""', "\t"])
def test_import_of_a_blank_heading_names_the_columns(as_admin: TestClient, heading: str) -> None:
    file = ("items.csv", f"{heading}\nLamp\n".encode())

    response = as_admin.post(f"{API}/items/import", files={"file": file})

    assert response.status_code == 422, response.text


@pytest.mark.parametrize("written", ["{} ", " {}", "\u00a0{}", "000{}"])
def test_import_changes_the_record_that_the_id_names(
    as_admin: TestClient, db: Session, written: str
) -> None:
    ann, ben = make_user(db, full_name="Ann"), make_user(db, full_name="Ben")
    rows = f"id,email,full_name\n{written.format(ann.id)},{ben.email},Changed\n"

    as_admin.post(
        f"{API}/users/import",
        params={"on_conflict": "update"},
        files={"file": ("users.csv", rows.encode())},
    )

    db.expire_all()
    assert db.get_one(User, ben.id).full_name == "Ben"


@pytest.mark.parametrize(
    "wanted",
    [
        {"id_lt": 2**53 - 1},
        {"id_ne": 2**53 - 1},
        {"title_gt": "\u0001"},
        {"title_lte": "\U0010ffff"},
    ],
)
def test_bulk_refuses_a_bound_beyond_every_record(
    as_admin: TestClient, db: Session, admin: User, wanted: dict[str, Any]
) -> None:
    make_item(db, owner=admin)

    response = as_admin.post(f"{API}/items/bulk/delete", json={"filter": wanted})

    assert_error(response, 422, "INVALID_REQUEST", f"filter.{next(iter(wanted))}")


def test_bulk_refuses_to_leave_out_nobody(as_admin: TestClient) -> None:
    body = {"filter": {"token_quota_ne": -1}}

    response = as_admin.post(f"{API}/users/bulk/delete", json=body)

    assert_error(response, 422, "INVALID_REQUEST", "filter.token_quota_ne")


@pytest.mark.parametrize("field", ["full_name", "department"])
def test_text_that_folds_to_more_than_an_index_holds_is_refused(
    as_admin: TestClient, field: str
) -> None:
    body = {"email": "ann@example.com", field: "\ufdfa" * 90}

    assert_error(as_admin.post(f"{API}/users/", json=body), 422, "INVALID_REQUEST", field)
