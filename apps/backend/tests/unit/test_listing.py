"""Lists below HTTP: how a query string is read, and how few statements a page takes."""

import gc
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import true
from sqlalchemy.orm import Session

from app.api.listing import ListParameters
from app.core.permissions import Principal, Role
from app.crud.counting import Total
from app.crud.cursor import CursorUnsupportedSortError, InvalidCursorError
from app.crud.item import ITEMS
from app.crud.listing import Page, get_page
from app.crud.user import USERS
from app.db.session import read_only
from app.models import User
from app.schemas.base import Schema
from app.schemas.item import ItemPublic
from app.schemas.listing import Filter, ListQuery, SortKey
from app.schemas.user import UserPublic
from tests.factories import make_item
from tests.settings import changed_settings


class Kind(StrEnum):
    LAMP = "lamp"
    CHAIR = "chair"


class Thing(Schema):
    indexed = frozenset({"id", "name"})

    id: int
    name: str
    note: str | None
    kind: Kind
    is_new: bool
    made_at: datetime
    gone_at: datetime | None


read_things = ListParameters(Thing)
ANN = Principal(1, 1, Role.USER, None, is_verified=True, must_change_password=False, profile={})


def test_long_queries_are_not_kept() -> None:
    """A client may send what it likes: what is kept of it has a bound in bytes."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(300):
            read(id=[number * 1000 + one for one in range(900)])
            read(name=f"{number}" * 300)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert kept < 2**20


def read(**asked: Any) -> ListQuery:
    query = urlencode(asked, doseq=True).encode()
    request = Request({"type": "http", "query_string": query, "headers": []})
    return read_things(request, ANN)


def blamed(**asked: Any) -> set[str]:
    with pytest.raises(RequestValidationError) as caught:
        read(**asked)
    places = [error["loc"] for error in caught.value.errors()]
    assert {place[0] for place in places} == {"query"}
    return {".".join(place[1:]) for place in places}


# --- Reading.


def test_parameters_left_out_have_their_defaults() -> None:
    query = read()

    assert query == ListQuery(filters=(), q=None, sort=(), skip=0, limit=100, after=None)


def test_parameters_are_read_into_a_query() -> None:
    query = read(q="x", sort="-name,id", skip=5, limit=7, after="abc")

    assert query == ListQuery(
        filters=(),
        q="x",
        sort=(SortKey("name", descending=True), SortKey("id", descending=False)),
        skip=5,
        limit=7,
        after="abc",
    )


def test_default_page_is_no_larger_than_the_largest() -> None:
    with changed_settings(MAX_PAGE_SIZE="7"):
        query = read()

    assert query.limit == 7


def test_asking_for_ids_gives_all_of_them() -> None:
    query = read(id=list(range(1, 151)))

    assert query.limit == 1000


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("id", ["1", "2"], Filter("id", "eq", (1, 2))),
        ("id_gte", ["1"], Filter("id", "gte", (1,))),
        ("name", ["x"], Filter("name", "eq", ("x",))),
        ("name_like", ["%"], Filter("name", "like", ("%",))),
        ("note_ne", ["x", "y"], Filter("note", "ne", ("x", "y"))),
        ("kind", ["lamp"], Filter("kind", "eq", (Kind.LAMP,))),
        ("kind_ne", ["lamp", "chair"], Filter("kind", "ne", (Kind.LAMP, Kind.CHAIR))),
        ("is_new", ["true"], Filter("is_new", "eq", (True,))),
        ("is_new_ne", ["false"], Filter("is_new", "ne", (False,))),
        (
            "made_at_lt",
            ["2026-01-01T12:00:00+02:00"],
            Filter("made_at", "lt", (datetime(2026, 1, 1, 10, tzinfo=UTC),)),
        ),
        (
            "gone_at",
            ["2026-01-01"],
            Filter(
                "gone_at",
                "within",
                (
                    datetime(2026, 1, 1, tzinfo=UTC),
                    datetime(2026, 1, 1, 23, 59, 59, 999999, tzinfo=UTC),
                ),
            ),
        ),
        ("note_null", ["true"], Filter("note", "eq", (None,))),
        ("gone_at_null", ["false"], Filter("gone_at", "ne", (None,))),
    ],
)
def test_filters_are_read_by_the_type_of_their_field(
    name: str, sent: list[str], expected: Filter
) -> None:
    query = read(**{name: sent})

    assert query.filters == (expected,)


@pytest.mark.parametrize(
    "name",
    ["kind_gt", "kind_like", "is_new_gt", "is_new_like", "id_like", "made_at_like", "name_eq"],
)
def test_filters_that_make_no_sense_are_unknown(name: str) -> None:
    assert blamed(**{name: "1"}) == {name}


def test_every_bad_parameter_is_blamed_at_once() -> None:
    found = blamed(id="one", kind="sofa", made_at="now", nope="1", limit="0", name="\0")

    assert found == {"id", "kind", "made_at", "nope", "limit", "name"}


def test_field_sorted_by_twice_counts_once() -> None:
    query = read(sort=["name,-id", "-name"])

    assert query.sort == (SortKey("name", descending=False), SortKey("id", descending=True))


def test_document_names_every_parameter_that_is_read() -> None:
    documented = {one["name"]: one for one in read_things.openapi()["parameters"]}

    operators = {
        "id": ["ne", "gt", "gte", "lt", "lte"],
        "name": ["ne", "gt", "gte", "lt", "lte", "like"],
        "note": ["ne", "gt", "gte", "lt", "lte", "like", "null"],
        "kind": ["ne"],
        "is_new": ["ne"],
        "made_at": ["ne", "gt", "gte", "lt", "lte"],
        "gone_at": ["ne", "gt", "gte", "lt", "lte", "null"],
    }
    filters = {f"{name}_{one}" for name, more in operators.items() for one in more}
    assert set(documented) == {"q", "sort", "skip", "limit", "after", *operators, *filters}
    assert all(one["in"] == "query" and one["description"] for one in documented.values())


@pytest.mark.parametrize("schema", [UserPublic, ItemPublic])
def test_every_public_field_is_a_filter_and_a_sort_key(schema: type[Schema]) -> None:
    document = {one["name"]: one for one in ListParameters(schema).openapi()["parameters"]}

    fields = set(schema.model_fields)
    assert fields <= set(document)
    sorts = set(document["sort"]["schema"]["items"]["enum"])
    assert sorts == {f"{sign}{field}" for field in fields for sign in ("", "-")}


@pytest.mark.parametrize(
    ("asked", "unindexed"),
    [
        ({}, None),
        ({"sort": "-name,id"}, None),
        ({"sort": "name,kind"}, ("sort", "id, name")),
        ({"sort": '["kind","ASC"]'}, ("sort", "id, name")),
        ({"_sort": "note"}, ("_sort", "id, name")),
    ],
)
def test_query_tells_of_a_sort_without_an_index(
    asked: dict[str, str], unindexed: tuple[str, str] | None
) -> None:
    assert read(**asked).unindexed == unindexed


# --- Pages.


def page_of(**asked: Any) -> Page:
    defaults: dict[str, Any] = {
        "filters": (),
        "q": None,
        "sort": (),
        "skip": 0,
        "limit": 2,
        "after": None,
    }
    query = ListQuery(**defaults | asked)
    with read_only() as db:
        return get_page(db, listing=replace(ITEMS), query=query, scope=true())


@pytest.fixture
def five(db: Session, user: User) -> list[int]:
    return [make_item(db, owner=user, title=f"item {number}").id for number in range(5)]


@pytest.mark.parametrize(
    ("skip", "limit", "shown", "needed"),
    [
        (0, 5, 5, 1),
        (0, 100, 5, 1),
        (3, 2, 2, 1),
        (4, 2, 1, 1),
        (0, 4, 4, 2),
        (2, 2, 2, 2),
        (5, 2, 0, 2),
        (9, 2, 0, 2),
    ],
)
def test_page_counts_only_where_it_does_not_tell_the_total_itself(
    five: list[int],
    statements: list[str],
    skip: int,
    limit: int,
    shown: int,
    needed: int,
) -> None:
    page = page_of(skip=skip, limit=limit)

    assert (len(page.records), page.total) == (shown, Total(len(five)))
    assert len(statements) == needed


def test_page_of_nothing_takes_one_statement(statements: list[str]) -> None:
    page = page_of()

    assert (page.records, page.total, page.next_cursor) == ([], Total(0), None)
    assert len(statements) == 1


def test_page_after_a_cursor_takes_one_statement(five: list[int], statements: list[str]) -> None:
    cursor = page_of().next_cursor
    statements.clear()

    page = page_of(after=cursor)

    assert [record["id"] for record in page.records] == five[2:4]
    assert page.total is None
    assert len(statements) == 1
    assert "count(" not in statements[0]


def test_page_reads_the_public_columns_alone(user: User, statements: list[str]) -> None:
    query = ListQuery(filters=(), q=None, sort=(), skip=0, limit=10, after=None)

    with read_only() as db:
        page = get_page(db, listing=USERS, query=query, scope=true())

    assert [set(record) for record in page.records] == [set(UserPublic.model_fields)]
    assert "hashed_password" not in statements[0]


def test_cursor_names_the_same_place_the_same_way(five: list[int]) -> None:
    cursors = {page_of().next_cursor for _ in range(2)}

    assert len(cursors) == 1


@pytest.mark.parametrize("cursor", ["x", "ü", "\0", "AAAA"])
def test_cursor_of_nobody_is_refused(five: list[int], cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        page_of(after=cursor)


@pytest.mark.parametrize(
    "sort",
    [
        (SortKey("description", descending=False),),
        (SortKey("title", descending=True), SortKey("status", descending=False)),
        (SortKey("title", descending=True), SortKey("id", descending=False)),
    ],
)
def test_cursor_needs_one_direction_and_no_empty_fields(
    five: list[int], sort: tuple[SortKey, ...]
) -> None:
    cursor = page_of().next_cursor

    assert page_of(sort=sort).next_cursor is None
    with pytest.raises(CursorUnsupportedSortError):
        page_of(sort=sort, after=cursor)
