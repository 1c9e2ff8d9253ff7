"""Sorts that no index serves: every field of a record sorts, up to a number of rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import AuditEvent, User
from app.schemas.audit import AuditPublic
from app.schemas.base import Schema
from app.schemas.item import ItemPublic
from app.schemas.job import JobPublic
from app.schemas.letter import LetterPublic, LetterStatus
from app.schemas.usage import UsagePublic
from app.schemas.user import UserPublic
from tests.assertions import assert_error
from tests.factories import make_item, make_job, make_letter, make_token, make_usage, make_user
from tests.settings import client_with

API = "/api/v1"
ITEMS = f"{API}/items/"
LISTS: dict[str, type[Schema]] = {
    "/users/": UserPublic,
    "/items/": ItemPublic,
    "/users/{user_id}/items": ItemPublic,
    "/users/me/items": ItemPublic,
    "/usage/": UsagePublic,
    "/audit/": AuditPublic,
    "/letters/": LetterPublic,
    "/jobs/": JobPublic,
}
FIELDS = [
    (path, field)
    for path, schema in LISTS.items()
    for field in schema.model_fields
    if field != "changes"
]


@pytest.fixture
def rows(db: Session, admin: User) -> None:
    other = make_user(db, email="bert@example.com", full_name="bert")
    make_user(db, email="cleo@example.com", full_name="Cleo", department="Sales")
    for owner in (admin, other):
        make_item(db, owner=owner, title="desk", description="oak")
        make_item(db, owner=owner, title="Lamp", description="Brass", status="active")
        make_item(db, owner=owner, title="lamp")
        make_item(db, owner=owner, title="chair", description="Ärger").version = 3
        make_usage(db, user=owner, kind="Chat", note="zebra")
        make_usage(db, user=owner, kind="chat", tokens=7, note="Ant")
        make_usage(db, user=owner, kind="bot")
    make_letter(db, recipient="b@example.com", last_error="late")
    make_letter(db, recipient="a@example.com", status=LetterStatus.SENT, sent_at=utc_now())
    make_letter(db, recipient="c@example.com", last_error="Early", attempts=2)
    make_job(db, name="clean-up")
    events: list[dict[str, Any]] = [
        {"action": "update", "resource_type": "item", "resource_id": 9, "request_id": "b" * 24},
        {
            "action": "create",
            "resource_type": "user",
            "actor_email": "b@example.com",
            "actor_id": 7,
        },
        {"action": "login", "resource_type": "user", "session_id": 5, "ip": "192.0.2.7"},
        {"action": "login", "resource_type": "user", "actor_email": "a@example.com", "actor_id": 3},
    ]
    db.add_all(AuditEvent(at=utc_now(), changes={}, **values) for values in events)
    db.commit()


@pytest.fixture
def of_two(db: Session, rows: None, admin: User) -> Iterator[TestClient]:
    """Sorts two rows without an index."""
    token = make_token(db, user=admin)
    with client_with(MAX_UNINDEXED_SORT="2") as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def in_order(records: Sequence[dict[str, Any]], field: str, *, descending: bool) -> list[Any]:
    """Texts without regard to case, by the id where they are equal; the empty ones last."""

    def key(record: dict[str, Any]) -> Any:
        value = record[field]
        return (value.lower() if isinstance(value, str) else value), record["id"]

    filled = sorted((one for one in records if one[field] is not None), key=key)
    empty = sorted((one for one in records if one[field] is None), key=lambda one: one["id"])
    return [*reversed(filled), *reversed(empty)] if descending else filled + empty


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_list_sorts_by_every_field(
    as_admin: TestClient, rows: None, admin: User, path: str, field: str, descending: bool
) -> None:
    url = API + path.format(user_id=admin.id)
    everything = as_admin.get(url).json()

    native = as_admin.get(url, params={"sort": f"-{field}" if descending else field})
    order = "DESC" if descending else "ASC"
    simple_rest = as_admin.get(url, params={"sort": f'["{field}","{order}"]'})
    json_server = as_admin.get(url, params={"_sort": field, "_order": order.lower()})

    assert native.json() == in_order(everything, field, descending=descending)
    assert native.json() == simple_rest.json() == json_server.json()
    assert len(everything) >= 3
    assert native.headers["x-total-count"] == str(len(everything))


@pytest.mark.parametrize("path", LISTS)
def test_openapi_offers_every_field_to_sort_by(as_admin: TestClient, path: str) -> None:
    paths = as_admin.get(f"{API}/openapi.json").json()["paths"]
    (sort,) = [
        one
        for one in paths[API + path.rstrip("/").replace("me", "{user_id}")]["get"]["parameters"]
        if one["name"] == "sort"
    ]

    fields = {field for listed, field in FIELDS if listed == path}
    assert set(sort["schema"]["items"]["enum"]) == fields | {f"-{field}" for field in fields}
    assert "MAX_UNINDEXED_SORT" in sort["description"]


# --- Too many of them.


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"sort": "description"}, "sort"),
        ({"sort": "-version"}, "sort"),
        ({"sort": "title,description"}, "sort"),
        ({"sort": '["description","ASC"]', "range": "[0,0]"}, "sort"),
        ({"_sort": "description", "_order": "desc"}, "_sort"),
        ({"sort": "description", "limit": "1", "skip": "1000"}, "sort"),
        ({"sort": "version", "id_gt": "0"}, "sort"),
    ],
)
def test_get_items_sorts_too_many_only_by_an_index(
    of_two: TestClient, asked: dict[str, str], parameter: str
) -> None:
    response = of_two.get(ITEMS, params=asked)

    assert_error(response, 422, "SORT_NEEDS_FILTER", parameter)
    text = response.json()["errors"][parameter]
    assert text.startswith("More than 2 records match, too many to sort by this field.")
    assert "created_at, id, owner_id, status, title, updated_at." in text


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"sort": "-title"},
        {"sort": "status,title"},
        {"sort": "version", "title": "desk"},
        {"sort": "description", "q": "lamp", "status": "active"},
        {"_sort": "description", "title_like": "DESK"},
    ],
)
def test_get_items_sorts_few_by_any_field_and_all_by_an_index(
    of_two: TestClient, asked: dict[str, str]
) -> None:
    response = of_two.get(ITEMS, params=asked)

    assert response.status_code == 200
    assert response.headers["x-total-count"] == ("2" if len(asked) > 1 else "8")


@pytest.mark.parametrize(
    ("path", "sort"),
    [
        ("/users/", "version"),
        ("/users/{user_id}/items", "description"),
        ("/users/me/items", "version"),
        ("/usage/", "kind"),
        ("/letters/", "recipient"),
    ],
)
def test_every_list_sorts_too_many_only_by_an_index(
    of_two: TestClient, admin: User, path: str, sort: str
) -> None:
    url = API + path.format(user_id=admin.id)

    refused = of_two.get(url, params={"sort": sort})
    indexed = of_two.get(url, params={"sort": "-id"})
    few = of_two.get(url, params={"sort": sort, "id_lt": indexed.json()[-3]["id"]})

    assert_error(refused, 422, "SORT_NEEDS_FILTER", "sort")
    assert (indexed.status_code, few.status_code) == (200, 200)


def test_rows_outside_of_the_scope_do_not_count(
    db: Session, admin: User, of_two: TestClient
) -> None:
    owner = make_user(db)
    make_item(db, owner=owner, title="b", description="x")
    make_item(db, owner=owner, title="a", description="y")
    headers = {"Authorization": f"Bearer {make_token(db, user=owner)}"}

    response = of_two.get(ITEMS, params={"sort": "-description"}, headers=headers)

    assert [record["title"] for record in response.json()] == ["a", "b"]


def test_trash_sorts_too_many_only_by_the_id(of_two: TestClient, db: Session, admin: User) -> None:
    for title in "abc":
        make_item(db, owner=admin, title=title, deleted_at=utc_now())

    refused = of_two.get(ITEMS, params={"deleted": "true", "sort": "title"})
    by_id = of_two.get(ITEMS, params={"deleted": "true", "sort": "-id"})
    few = of_two.get(ITEMS, params={"deleted": "true", "sort": "title", "title_lt": "c"})

    assert_error(refused, 422, "SORT_NEEDS_FILTER", "sort")
    assert refused.json()["message"].endswith("or sort by one of these: id.")
    assert [record["title"] for record in by_id.json()] == ["c", "b", "a"]
    assert [record["title"] for record in few.json()] == ["a", "b"]


def test_pages_by_cursor_go_through_a_sort_without_an_index(
    as_admin: TestClient, rows: None
) -> None:
    whole = as_admin.get(ITEMS, params={"sort": "version"}).json()

    walked: list[Any] = []
    place: dict[str, str] = {}
    while True:
        page = as_admin.get(ITEMS, params={"sort": "version", "limit": "3"} | place)
        walked += page.json()
        if "x-next-cursor" not in page.headers:
            break
        place = {"after": page.headers["x-next-cursor"]}

    assert walked == whole
    assert len(whole) == 8


def test_page_by_cursor_is_refused_once_there_are_too_many(
    of_two: TestClient, db: Session, admin: User
) -> None:
    asked = {"sort": "version", "limit": "1", "q": "desk"}
    first = of_two.get(ITEMS, params=asked)
    asked["after"] = first.headers["x-next-cursor"]
    second = of_two.get(ITEMS, params=asked)
    make_item(db, owner=admin, title="desk")

    third = of_two.get(ITEMS, params=asked)

    assert len(second.json()) == 1
    assert "x-total-count" not in second.headers
    assert_error(third, 422, "SORT_NEEDS_FILTER", "sort")


def test_sort_without_an_index_takes_no_more_statements_than_another(
    as_admin: TestClient, rows: None, statements: list[str]
) -> None:
    taken = []
    for sort in ("title", "description"):
        statements.clear()
        as_admin.get(ITEMS, params={"sort": sort, "limit": 2, "status": "draft"})
        taken.append(len(statements))

    assert taken[0] == taken[1] == 3  # The caller, the page, the total.


@pytest.mark.parametrize("file", ["csv", "jsonl", "xlsx"])
def test_export_sorts_too_many_only_by_an_index(of_two: TestClient, file: str) -> None:
    url = f"{ITEMS}export"

    refused = of_two.get(url, params={"sort": "description", "format": file})
    indexed = of_two.get(url, params={"sort": "title", "format": file})
    few = of_two.get(url, params={"sort": "description", "format": file, "title": "desk"})

    assert_error(refused, 422, "SORT_NEEDS_FILTER", "sort")
    assert (indexed.status_code, few.status_code) == (200, 200)


# --- What cannot be sorted by.


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"sort": "changes"}, "sort"),
        ({"sort": '["changes","DESC"]'}, "sort"),
        ({"_sort": "changes"}, "_sort"),
    ],
)
def test_get_audit_names_what_sorts_instead_of_an_object(
    as_admin: TestClient, asked: dict[str, str], parameter: str
) -> None:
    response = as_admin.get(f"{API}/audit/", params=asked)

    assert_error(response, 422, "INVALID_REQUEST", parameter)
    assert response.json()["errors"][parameter] == (
        "The list cannot be sorted by this. Choose one of: action, actor_email, actor_id, "
        "at, id, ip, request_id, resource_id, resource_type, session_id."
    )
