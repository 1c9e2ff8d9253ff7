"""Totals: exact up to a bound, beyond it estimated where the database can, and then marked so."""

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from app.models import Item, User
from tests.assertions import assert_error
from tests.conftest import POSTGRESQL
from tests.factories import make_item
from tests.settings import client_with

ITEMS = "/api/v1/items/"


@pytest.fixture
def seven(db: Session, admin: User) -> None:
    for number in range(7):
        make_item(db, owner=admin, title=f"item {number}")


def get_items(signed_in: TestClient, *, bound: int, **asked: str | int) -> Response:
    """Ask for items where lists count no further than `bound`."""
    with client_with(MAX_EXACT_TOTAL=str(bound)) as client:
        response = client.get(ITEMS, params=asked, headers=signed_in.headers)
    assert response.status_code == 200, response.text
    return response


def is_estimated(response: Response) -> bool:
    return response.headers.get("x-total-count-estimated") == "true"


@pytest.mark.parametrize("bound", [7, 8, 10_000])
def test_list_counts_exactly_up_to_the_bound(as_admin: TestClient, seven: None, bound: int) -> None:
    response = get_items(as_admin, bound=bound, limit=2)

    assert response.headers["x-total-count"] == "7"
    assert "x-total-count-estimated" not in response.headers


@pytest.mark.postgresql
@pytest.mark.parametrize("bound", [0, 6])
def test_list_estimates_and_says_so_beyond_the_bound(
    as_admin: TestClient, db: Session, seven: None, bound: int
) -> None:
    db.execute(text("ANALYZE items"))

    response = get_items(as_admin, bound=bound, limit=2)

    assert is_estimated(response)
    assert response.headers["x-total-count"] == "7"
    assert response.headers["content-range"] == "items 0-1/7"
    assert "skip=6&limit=2" in response.links["last"]["url"]


@pytest.mark.skipif(POSTGRESQL is not None, reason="PostgreSQL estimates.")
def test_list_counts_to_the_end_where_nobody_estimates(as_admin: TestClient, seven: None) -> None:
    response = get_items(as_admin, bound=3, limit=2)

    assert response.headers["x-total-count"] == "7"
    assert "x-total-count-estimated" not in response.headers


def test_list_needs_no_estimate_for_its_last_page(as_admin: TestClient, seven: None) -> None:
    response = get_items(as_admin, bound=0, skip=6, limit=2)

    assert response.headers["content-range"] == "items 6-6/7"
    assert not is_estimated(response)


def test_list_estimates_what_a_filter_lets_through(
    as_admin: TestClient, db: Session, admin: User, seven: None
) -> None:
    response = get_items(as_admin, bound=3, limit=2, title_like="item", id_gt=0)

    assert int(response.headers["x-total-count"]) >= 4
    assert is_estimated(response) == (POSTGRESQL is not None)


@pytest.mark.postgresql
def test_list_estimates_no_fewer_than_it_has_seen(
    as_admin: TestClient, db: Session, admin: User, seven: None
) -> None:
    db.execute(text("ANALYZE items"))
    for number in range(20):
        make_item(db, owner=admin, title=f"new {number}")

    page = get_items(as_admin, bound=3, skip=10, limit=5)
    first = get_items(as_admin, bound=12, skip=0, limit=5)

    assert (is_estimated(page), page.headers["content-range"]) == (True, "items 10-14/16")
    assert "skip=15&limit=5" in page.links["next"]["url"]
    assert (is_estimated(first), first.headers["x-total-count"]) == (True, "13")


@pytest.mark.postgresql
def test_list_counts_to_the_end_for_a_page_past_it(
    as_admin: TestClient, db: Session, seven: None
) -> None:
    db.execute(text("ANALYZE items"))
    db.execute(delete(Item).where(Item.title > "item 4"))

    response = get_items(as_admin, bound=3, skip=6, limit=5)

    assert response.json() == []
    assert (is_estimated(response), response.headers["content-range"]) == (False, "items */5")
    assert "skip=0&limit=5" in response.links["prev"]["url"]
    assert "next" not in response.links


def test_list_that_takes_too_long_says_so(as_admin: TestClient, db: Session, admin: User) -> None:
    """Many long texts, each searched for much that no index finds."""
    owner = admin.id
    db.execute(
        text(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < "
            "300) INSERT INTO items (title, description, description_folded, status, owner_id, "
            "created_at, updated_at, version) SELECT 'long', :long, :long, 'draft', "
            ":owner, :now, :now, 1 FROM numbers"
        ),
        {"long": "-" * 20_000, "owner": owner, "now": "2026-01-01 00:00:00.000000"},
    )
    asked = {"description_like": [f"{'-' * 50}{number:02}" for number in range(100)]}

    with client_with(STATEMENT_TIMEOUT_SECONDS="0.2") as client:
        slow = client.get(ITEMS, params=asked, headers=as_admin.headers)
        quick = client.get(ITEMS, params={"limit": 1}, headers=as_admin.headers)

    assert_error(slow, 503, "STATEMENT_TIMEOUT")
    assert int(slow.headers["retry-after"]) >= 1
    assert quick.headers["x-total-count"] == "300"
