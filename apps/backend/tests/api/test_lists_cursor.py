"""Paging by cursor: every row once, whatever is written meanwhile."""

import base64
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user
from tests.settings import client_with

USERS = "/api/v1/users/"
ITEMS = "/api/v1/items/"
MOMENT = datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)


@pytest.fixture
def items(db: Session, admin: User, user: User) -> int:
    """Eleven items with many ties: two titles, three statuses, two owners, two moments."""
    count = 11
    for number in range(count):
        make_item(
            db,
            owner=(admin, user)[number % 2],
            title=("chair", "armchair")[number % 2],
            status=("draft", "active", "archived")[number % 3],
            created_at=MOMENT.replace(microsecond=123456 + number // 6),
        )
    return count


def walk(
    client: TestClient, url: str, **asked: str | int | list[str]
) -> tuple[list[dict[str, Any]], int]:
    """Follow the cursors from the first page to the last; return the records and the pages."""
    response = client.get(url, params=asked)
    records, pages = response.json(), 1
    while cursor := response.headers.get("x-next-cursor"):
        assert len(response.json()) == asked["limit"], "only the last page may be short"
        response = client.get(url, params={**asked, "after": cursor})
        assert response.status_code == 200, response.text
        records, pages = records + response.json(), pages + 1
        assert pages < 50, "the cursors never end"
    return records, pages


def cursor_of(client: TestClient, url: str = ITEMS, **asked: str) -> str:
    return str(client.get(url, params={"limit": "2", **asked}).headers["x-next-cursor"])


# --- To the end.


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 11, 1000])
@pytest.mark.parametrize(
    "sort",
    [
        "id",
        "-id",
        "title",
        "-title",
        "status,title",
        "-status,-title",
        "created_at",
        "-created_at",
        "-created_at,-owner_id,-status",
        "updated_at,created_at",
    ],
)
def test_get_items_walked_by_cursor_shows_every_row_once(
    as_admin: TestClient, items: int, sort: str, limit: int
) -> None:
    whole = as_admin.get(ITEMS, params={"sort": sort}).json()

    walked, pages = walk(as_admin, ITEMS, sort=sort, limit=limit)

    assert walked == whole
    assert len({record["id"] for record in walked}) == items
    assert pages == -(-items // limit)


def test_get_items_has_cursors_without_a_sort(as_admin: TestClient, items: int) -> None:
    whole = as_admin.get(ITEMS).json()

    walked, _ = walk(as_admin, ITEMS, limit=4)

    assert walked == whole


@pytest.mark.parametrize("sort", ["email", "-username", "is_active,role", "-is_verified,-role"])
def test_get_users_walked_by_cursor_shows_every_row_once(
    as_admin: TestClient, db: Session, sort: str
) -> None:
    for number in range(8):
        make_user(
            db,
            role=(Role.USER, Role.AUDITOR)[number % 2],
            is_active=number % 3 > 0,
            is_verified=number % 4 > 0,
        )
    whole = as_admin.get(USERS, params={"sort": sort}).json()

    walked, _ = walk(as_admin, USERS, sort=sort, limit=2)

    assert walked == whole


def test_get_items_walked_by_cursor_keeps_the_filter(as_admin: TestClient, items: int) -> None:
    asked: dict[str, Any] = {"title": "chair", "status": ["draft", "active"], "sort": "-status"}
    whole = as_admin.get(ITEMS, params=asked).json()

    walked, pages = walk(as_admin, ITEMS, limit=1, **asked)

    assert walked == whole
    assert pages == len(whole) > 2


def test_get_user_items_walked_by_cursor_shows_every_row_once(
    as_admin: TestClient, items: int, user: User
) -> None:
    url = f"{USERS}{user.id}/items"
    whole = as_admin.get(url).json()

    walked, _ = walk(as_admin, url, limit=2)

    assert walked == whole
    assert len(walked) == items // 2


@pytest.mark.parametrize("limit", [11, 12])
def test_list_names_no_cursor_on_the_last_page(
    as_admin: TestClient, items: int, limit: int
) -> None:
    response = as_admin.get(ITEMS, params={"limit": limit})

    assert len(response.json()) == items
    assert "x-next-cursor" not in response.headers


def test_list_read_by_cursor_counts_nothing(as_admin: TestClient, items: int) -> None:
    cursor = cursor_of(as_admin)

    response = as_admin.get(ITEMS, params={"after": cursor, "limit": "2"})

    assert "x-total-count" not in response.headers
    assert "content-range" not in response.headers


def test_list_read_by_cursor_links_to_the_next_page_alone(as_admin: TestClient, items: int) -> None:
    whole = as_admin.get(ITEMS, params={"sort": "-title"}).json()
    cursor = cursor_of(as_admin, sort="-title")

    response = as_admin.get(ITEMS, params={"after": cursor, "limit": "2", "sort": "-title"})

    assert set(response.links) == {"next"}
    assert as_admin.get(response.links["next"]["url"]).json() == whole[4:6]


def test_list_read_by_cursor_takes_another_limit(as_admin: TestClient, items: int) -> None:
    whole = as_admin.get(ITEMS).json()
    cursor = cursor_of(as_admin)

    response = as_admin.get(ITEMS, params={"after": cursor, "limit": "5"})

    assert response.json() == whole[2:7]


def test_list_read_by_cursor_past_deleted_rows_goes_on(as_admin: TestClient, items: int) -> None:
    whole = as_admin.get(ITEMS).json()
    cursor = cursor_of(as_admin)
    as_admin.delete(f"{ITEMS}{whole[1]['id']}")
    as_admin.delete(f"{ITEMS}{whole[2]['id']}")

    response = as_admin.get(ITEMS, params={"after": cursor, "limit": "2"})

    assert response.json() == whole[3:5]


def test_list_read_by_cursor_misses_and_repeats_nothing_while_rows_come(
    as_admin: TestClient, db: Session, admin: User, items: int
) -> None:
    asked = {"sort": "title", "limit": "3"}
    before = as_admin.get(ITEMS, params={"sort": "title"}).json()
    response = as_admin.get(ITEMS, params=asked)

    walked = response.json()
    while cursor := response.headers.get("x-next-cursor"):
        make_item(db, owner=admin, title="a comes before")
        late = make_item(db, owner=admin, title="z comes after")
        if len(walked) > 9:
            late.deleted_at = MOMENT
            db.commit()
        response = as_admin.get(ITEMS, params={**asked, "after": cursor})
        walked += response.json()
        assert len(walked) < 50, "the cursors never end"

    old = [record for record in walked if record["title"] in {"chair", "armchair"}]
    assert old == before
    assert "a comes before" not in {record["title"] for record in walked}


# --- Bound to sort and filter.


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"sort": "-title"},
        {"sort": "title,status"},
        {"sort": "status"},
        {"sort": "title", "status": "draft"},
        {"sort": "title", "q": "chair"},
        {"sort": "title", "title": "chair"},
        {"sort": "title", "id_gt": "0"},
        {"sort": "title", "filter": '{"status": "draft"}'},
    ],
)
def test_list_refuses_a_cursor_of_another_sort_or_filter(
    as_admin: TestClient, items: int, asked: dict[str, str]
) -> None:
    cursor = cursor_of(as_admin, sort="title")

    response = as_admin.get(ITEMS, params={**asked, "after": cursor})

    assert_error(response, 422, "INVALID_CURSOR", "after")


def test_list_refuses_a_cursor_with_the_filter_left_out(as_admin: TestClient, items: int) -> None:
    cursor = cursor_of(as_admin, title="chair")

    response = as_admin.get(ITEMS, params={"after": cursor})

    assert_error(response, 422, "INVALID_CURSOR", "after")


def test_list_refuses_a_cursor_of_another_list(as_admin: TestClient, items: int) -> None:
    cursor = cursor_of(as_admin, ITEMS, sort="created_at")

    response = as_admin.get(USERS, params={"sort": "created_at", "after": cursor})

    assert_error(response, 422, "INVALID_CURSOR", "after")


def test_list_shows_nobody_more_by_a_cursor_of_somebody_else(
    as_admin: TestClient, client_of: Callable[[User], TestClient], items: int, user: User
) -> None:
    own = client_of(user).get(ITEMS).json()
    cursor = cursor_of(as_admin)

    response = client_of(user).get(ITEMS, params={"after": cursor})

    if response.status_code == 200:
        assert all(record in own for record in response.json())
    else:
        assert_error(response, 422, "INVALID_CURSOR", "after")


# --- Not made here.


@pytest.mark.parametrize("place", [0, 5, 15, 16, -2, -1])
def test_list_refuses_a_tampered_cursor(as_admin: TestClient, items: int, place: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(cursor_of(as_admin)))
    raw[place] ^= 1

    response = as_admin.get(ITEMS, params={"after": base64.urlsafe_b64encode(raw).decode()})

    assert_error(response, 422, "INVALID_CURSOR", "after")


def test_list_refuses_a_cursor_with_other_values(as_admin: TestClient, items: int) -> None:
    raw = base64.urlsafe_b64decode(cursor_of(as_admin))
    forged = base64.urlsafe_b64encode(raw[:16] + b"[0]").decode()

    response = as_admin.get(ITEMS, params={"after": forged})

    assert_error(response, 422, "INVALID_CURSOR", "after")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "AAAA",
        "AAAAA",
        "WzFd",
        "====",
        "not base64!",
        "ünïcödé",
        "💡",
        "\0",
        "%00",
        "null",
        "-1",
        "A" * 2000,
        base64.urlsafe_b64encode(b"\0" * 16 + b"[1]").decode(),
        base64.urlsafe_b64encode(b"\0" * 16 + b"[" * 1000).decode(),
    ],
)
def test_list_refuses_a_made_up_cursor(as_admin: TestClient, items: int, cursor: str) -> None:
    response = as_admin.get(ITEMS, params={"after": cursor})

    assert_error(response, 422, "INVALID_CURSOR", "after")


@pytest.mark.parametrize("url", [USERS, ITEMS])
def test_list_refuses_an_overlong_cursor(as_admin: TestClient, url: str) -> None:
    response = as_admin.get(url, params={"after": "A" * 2001})

    assert_error(response, 422, "INVALID_REQUEST", "after")


def test_list_takes_no_empty_cursor_for_the_beginning(as_admin: TestClient, items: int) -> None:
    response = as_admin.get(ITEMS, params={"after": ""})

    assert_error(response, 422, "INVALID_CURSOR", "after")


def test_cursor_of_the_key_before_is_taken(as_admin: TestClient, items: int) -> None:
    cursor = cursor_of(as_admin, ITEMS)
    keys = {"SECRET_KEY": "another-key-that-is-long-enough-to-sign"}

    with client_with(**keys, SECRET_KEY_PREVIOUS=os.environ["SECRET_KEY"]) as client:
        during = client.get(ITEMS, params={"after": cursor}, headers=as_admin.headers)

    assert during.status_code == 200
    assert len(during.json()) > 0


# --- Sorts that have none.


@pytest.mark.parametrize(
    ("url", "sort"),
    [
        (ITEMS, "title,-status"),
        (ITEMS, "-title,status"),
        (ITEMS, "-created_at,id"),
        (USERS, "full_name"),
        (USERS, "-full_name"),
        (USERS, "email,full_name"),
        (USERS, "department"),
        (USERS, "token_quota"),
        (USERS, "-last_login_at"),
        (USERS, "email,-role"),
    ],
)
def test_list_has_no_cursor_for_a_sort_that_is_mixed_or_may_be_empty(
    as_admin: TestClient, db: Session, items: int, url: str, sort: str
) -> None:
    cursor = cursor_of(as_admin, ITEMS)

    page = as_admin.get(url, params={"sort": sort, "limit": "1"})
    after = as_admin.get(url, params={"sort": sort, "limit": "1", "after": cursor})

    assert page.status_code == 200
    assert page.headers["x-total-count"] != "1"
    assert "x-next-cursor" not in page.headers
    assert_error(after, 422, "CURSOR_UNSUPPORTED_SORT", "after")
