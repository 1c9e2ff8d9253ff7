"""The list parameters of unmodified panel clients, beside the native ones."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_token, make_user
from tests.settings import client_with

USERS = "/api/v1/users/"
ITEMS = "/api/v1/items/"


@pytest.fixture(autouse=True)
def items(db: Session, admin: User, user: User) -> None:
    make_item(db, owner=admin, title="chair", description="Oak", status="active")
    make_item(db, owner=user, title="bench", status="active")
    make_item(db, owner=admin, title="armchair", description="Ash", status="draft")
    make_item(db, owner=user, title="desk", description="Oak", status="archived")


def titles(client: TestClient, **asked: Any) -> list[str]:
    response = client.get(ITEMS, params=asked)
    assert response.status_code == 200, response.text
    return [record["title"] for record in response.json()]


def ids(client: TestClient, *wanted: str) -> list[int]:
    records = client.get(ITEMS).json()
    return [record["id"] for title in wanted for record in records if record["title"] == title]


# --- ra-data-simple-rest: sort, range and filter as JSON.


def test_simple_rest_list_sorts_pages_and_filters_at_once(as_admin: TestClient) -> None:
    asked = {
        "sort": '["title","DESC"]',
        "range": "[0,1]",
        "filter": '{"q":"oak","status":["active","archived","draft"]}',
    }

    response = as_admin.get(ITEMS.rstrip("/"), params=asked)

    assert [record["title"] for record in response.json()] == ["desk", "chair"]
    assert response.headers["content-range"] == "items 0-1/2"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ('["title","ASC"]', ["armchair", "bench", "chair", "desk"]),
        ('["title","DESC"]', ["desk", "chair", "bench", "armchair"]),
        ('["title","desc"]', ["desk", "chair", "bench", "armchair"]),
        ('["id", "ASC"]', ["chair", "bench", "armchair", "desk"]),
        ('["status","DESC"]', ["armchair", "desk", "bench", "chair"]),
    ],
)
def test_simple_rest_list_sorts(as_admin: TestClient, sort: str, expected: list[str]) -> None:
    found = titles(as_admin, sort=sort)

    assert found == expected


@pytest.mark.parametrize(
    ("span", "expected", "place"),
    [
        ("[0,1]", ["chair", "bench"], "items 0-1/4"),
        ("[1,2]", ["bench", "armchair"], "items 1-2/4"),
        ("[3,99]", ["desk"], "items 3-3/4"),
        ("[0,0]", ["chair"], "items 0-0/4"),
        ("[0,999]", ["chair", "bench", "armchair", "desk"], "items 0-3/4"),
        ("[4,9]", [], "items */4"),
    ],
)
def test_simple_rest_list_pages_with_the_end_included(
    as_admin: TestClient, span: str, expected: list[str], place: str
) -> None:
    response = as_admin.get(ITEMS, params={"range": span})

    assert [record["title"] for record in response.json()] == expected
    assert response.headers["content-range"] == place


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["chair", "bench", "armchair", "desk"]),
        ({"q": "CHAIR"}, ["chair", "armchair"]),
        ({"title": "bench"}, ["bench"]),
        ({"title": ["bench", "desk"]}, ["bench", "desk"]),
        ({"title_like": "chair", "status": "draft"}, ["armchair"]),
        ({"status_ne": ["active", "draft"]}, ["desk"]),
        ({"description": None}, ["bench"]),
        ({"description": ["Ash", None]}, ["bench", "armchair"]),
        ({"description_ne": None}, ["chair", "armchair", "desk"]),
        ({"description_ne": ["Oak", None]}, ["armchair"]),
        ({"id": []}, []),
        ({"version_gte": 2}, []),
        ({"version": 1, "created_at_gte": "2020-01-01T00:00:00Z", "title_lt": "b"}, ["armchair"]),
    ],
)
def test_simple_rest_list_filters(
    as_admin: TestClient, wanted: dict[str, Any], expected: list[str]
) -> None:
    found = titles(as_admin, filter=json.dumps(wanted))

    assert found == expected


def test_simple_rest_list_gives_many_by_their_ids(as_admin: TestClient) -> None:
    wanted = ids(as_admin, "desk", "chair")

    found = titles(as_admin, filter=json.dumps({"id": wanted}))

    assert found == ["chair", "desk"]


def test_simple_rest_list_narrows_to_an_owner(as_admin: TestClient, user: User) -> None:
    asked = {"filter": json.dumps({"owner_id": user.id}), "sort": '["id","DESC"]'}

    found = titles(as_admin, range="[0,24]", **asked)

    assert found == ["desk", "bench"]


def test_simple_rest_list_filters_users_by_yes_and_no(as_admin: TestClient, db: Session) -> None:
    away = make_user(db, is_active=False)

    response = as_admin.get(USERS, params={"filter": '{"is_active":false}'})

    assert [record["id"] for record in response.json()] == [away.id]


@pytest.mark.parametrize(
    "sort",
    [
        "[",
        "[]",
        '["title"]',
        '["title","ASC","id"]',
        '["title","UP"]',
        '["title",1]',
        "[1,2]",
        "[null,null]",
        '["nope","ASC"]',
        '["hashed_password","ASC"]',
        '["","ASC"]',
        '["-title","ASC"]',
        '["title;--","DESC"]',
        '["title\\u0000","ASC"]',
        '["\\ud800","ASC"]',
    ],
)
def test_simple_rest_list_refuses_a_malformed_sort(as_admin: TestClient, sort: str) -> None:
    response = as_admin.get(ITEMS, params={"sort": sort})

    assert_error(response, 422, "INVALID_REQUEST", "sort")


@pytest.mark.parametrize(
    "span",
    [
        "",
        "0",
        "0,24",
        "{}",
        "[]",
        "[0]",
        "[0,1,2]",
        "[1,0]",
        "[-1,5]",
        '["0","24"]',
        "[0,1.5]",
        "[0,1e3]",
        "[0,NaN]",
        "[true,false]",
        "[null,1]",
        "[[0],[1]]",
        f"[{10**30},{10**30 + 1}]",
        f"[{2**63},{2**63}]",
        f"[0,{'9' * 5000}]",
        "[" * 5000,
    ],
)
def test_simple_rest_list_refuses_a_malformed_range(as_admin: TestClient, span: str) -> None:
    response = as_admin.get(ITEMS, params={"range": span})

    assert_error(response, 422, "INVALID_REQUEST", "range")


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        "NaN",
        '"q"',
        "q=x",
        "{'q':'x'}",
        '{"q":"x"',
        '{"\\ud800":1}',
        f'{{"id":{"9" * 5000}}}',
        '{"q":' * 2000,
    ],
)
def test_simple_rest_list_refuses_a_malformed_filter(as_admin: TestClient, wanted: str) -> None:
    response = as_admin.get(ITEMS, params={"filter": wanted})

    assert_error(response, 422, "INVALID_REQUEST", "filter")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ('{"nope":1}', "nope"),
        ('{"hashed_password_like":"a"}', "hashed_password_like"),
        ('{"id":"one"}', "id"),
        ('{"id":[1,"two"]}', "id"),
        ('{"id":[[1]]}', "id"),
        ('{"id":{"gt":1}}', "id"),
        ('{"id":null}', "id"),
        ('{"id":NaN}', "id"),
        ('{"id":1e999}', "id"),
        ('{"id":100000000000000000000}', "id"),
        ('{"title":5}', "title"),
        ('{"title":"\\u0000"}', "title"),
        ('{"title":"\\ud800"}', "title"),
        ('{"title_like":null}', "title_like"),
        ('{"status":"gone"}', "status"),
        ('{"status":null}', "status"),
        ('{"created_at":"2026-01-01T25:00:00"}', "created_at"),
        ('{"created_at":1767225600}', "created_at"),
        ('{"created_at_gt":null}', "created_at_gt"),
        ('{"q":5}', "q"),
        ('{"q":null}', "q"),
        ('{"q":"\\u0000"}', "q"),
    ],
)
def test_simple_rest_list_names_the_bad_field_of_a_filter(
    as_admin: TestClient, wanted: str, field: str
) -> None:
    response = as_admin.get(ITEMS, params={"filter": wanted})

    assert_error(response, 422, "INVALID_REQUEST", field)


@pytest.mark.parametrize("field", ["skip", "limit", "sort", "after", "range", "filter", "_start"])
def test_simple_rest_list_takes_no_paging_for_a_field(as_admin: TestClient, field: str) -> None:
    value = {"sort": "title", "filter": "{}"}.get(field, 1)

    response = as_admin.get(ITEMS, params={"filter": json.dumps({field: value})})

    assert_error(response, 422, "INVALID_REQUEST", field)


@pytest.mark.parametrize(
    "asked",
    [
        {"range": "[0,3]"},
        {"range": f"[0,{10**30}]"},
        {"_start": "0", "_end": "4"},
        {"_end": "9999999"},
    ],
)
def test_page_larger_than_the_largest_is_cut_to_it(
    db: Session, admin: User, asked: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {make_token(db, user=admin)}"}

    with client_with(MAX_PAGE_SIZE="3") as client:
        response = client.get(ITEMS, params=asked, headers=headers)
        following = client.get(response.links["next"]["url"], headers=headers)
        native = client.get(ITEMS, params={"limit": "4"}, headers=headers)

    assert [record["title"] for record in response.json()] == ["chair", "bench", "armchair"]
    assert response.headers["content-range"] == "items 0-2/4"
    assert response.headers["x-total-count"] == "4"
    assert [record["title"] for record in following.json()] == ["desk"]
    assert_error(native, 422, "INVALID_REQUEST", "limit")


@pytest.mark.parametrize("field", ["title", "status", "id", "created_at_gt", "q", "title_like"])
def test_filter_that_is_empty_is_refused_in_plain_words(as_admin: TestClient, field: str) -> None:
    response = as_admin.get(ITEMS, params={"filter": json.dumps({field: None})})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert response.json()["errors"][field] == "This field cannot be empty."


def test_simple_rest_list_links_to_the_page_after(as_admin: TestClient) -> None:
    asked = {"sort": '["title","ASC"]', "range": "[0,1]", "filter": '{"q":"a"}'}
    response = as_admin.get(ITEMS, params=asked)

    following = as_admin.get(response.links["next"]["url"])

    assert [record["title"] for record in following.json()] == ["desk"]
    assert following.headers["content-range"] == "items 2-2/3"


# --- json-server: _start, _end, _sort and _order beside plain filters.


def test_json_server_list_sorts_pages_and_filters_at_once(as_admin: TestClient) -> None:
    response = as_admin.get(
        f"{ITEMS.rstrip('/')}?_start=0&_end=1&_sort=title&_order=DESC&q=oak&status_ne=draft"
    )

    assert [record["title"] for record in response.json()] == ["desk"]
    assert response.headers["x-total-count"] == "2"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("_sort=title&_order=asc", ["armchair", "bench", "chair", "desk"]),
        ("_sort=title&_order=DESC", ["desk", "chair", "bench", "armchair"]),
        ("_sort=title", ["armchair", "bench", "chair", "desk"]),
        ("_sort=status,title&_order=asc,desc", ["chair", "bench", "desk", "armchair"]),
        ("_sort=status,title&_order=desc", ["armchair", "desk", "bench", "chair"]),
        ("_sort=&_order=", ["chair", "bench", "armchair", "desk"]),
    ],
)
def test_json_server_list_sorts(as_admin: TestClient, asked: str, expected: list[str]) -> None:
    response = as_admin.get(f"{ITEMS}?{asked}")

    assert [record["title"] for record in response.json()] == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("_start=0&_end=2", ["chair", "bench"]),
        ("_start=1&_end=3", ["bench", "armchair"]),
        ("_start=3&_end=99", ["desk"]),
        ("_start=2", ["armchair", "desk"]),
        ("_end=1", ["chair"]),
        ("_start=9&_end=10", []),
    ],
)
def test_json_server_list_pages_with_the_end_left_out(
    as_admin: TestClient, asked: str, expected: list[str]
) -> None:
    response = as_admin.get(f"{ITEMS}?{asked}")

    assert [record["title"] for record in response.json()] == expected
    assert response.headers["x-total-count"] == "4"


def test_json_server_list_gives_many_by_their_ids(as_admin: TestClient) -> None:
    wanted = ids(as_admin, "desk", "chair")

    found = titles(as_admin, id=wanted)

    assert found == ["chair", "desk"]


def test_json_server_list_narrows_to_an_owner(as_admin: TestClient, user: User) -> None:
    found = titles(as_admin, owner_id=user.id, _sort="id", _order="desc", _start=0, _end=25)

    assert found == ["desk", "bench"]


def test_json_server_list_filters_by_refines_operators(as_admin: TestClient) -> None:
    found = titles(as_admin, title_like="CHAIR", status_ne="draft", version_gte=1, version_lte=1)

    assert found == ["chair"]


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ("_start=-1", "_start"),
        ("_start=one", "_start"),
        ("_start=", "_start"),
        ("_start=1.0", "_start"),
        ("_start=%D9%A1", "_start"),
        (f"_start={10**30}", "_start"),
        (f"_start={'9' * 5000}", "_start"),
        ("_end=-1", "_end"),
        ("_end=x", "_end"),
        ("_end=", "_end"),
        ("_end=0", "_end"),
        ("_start=5&_end=5", "_end"),
        ("_start=5&_end=4", "_end"),
        (f"_end={2**63}", "_end"),
        ("_sort=nope", "_sort"),
        ("_sort=hashed_password", "_sort"),
        ("_sort=title;drop", "_sort"),
        ("_sort=-title", "_sort"),
        ("_sort=title,nope&_order=asc,asc", "_sort"),
        ("_sort=title%00", "_sort"),
        ("_sort=title&_order=up", "_order"),
        ("_sort=title&_order=asc%00", "_order"),
        ("_sort=status,title&_order=asc,up", "_order"),
        ("_order=up", "_order"),
        ("_page=1", "_page"),
        ("_embed=owner", "_embed"),
        ("title_contains=a", "title_contains"),
    ],
)
def test_json_server_list_refuses_a_malformed_parameter(
    as_admin: TestClient, asked: str, parameter: str
) -> None:
    response = as_admin.get(f"{ITEMS}?{asked}")

    assert_error(response, 422, "INVALID_REQUEST", parameter)


def test_json_server_list_links_to_the_page_after(as_admin: TestClient) -> None:
    response = as_admin.get(f"{ITEMS}?_start=0&_end=2&_sort=title&_order=desc&status_ne=archived")

    following = as_admin.get(response.links["next"]["url"])

    assert [record["title"] for record in response.json()] == ["chair", "bench"]
    assert [record["title"] for record in following.json()] == ["armchair"]
