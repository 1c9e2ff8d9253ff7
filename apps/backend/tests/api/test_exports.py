"""Exports: the same bytes from every database, of what the list shows, and nothing else."""

import csv
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.core.spreadsheet import make_harmless, read_harmless
from app.models import Item, User
from tests.assertions import assert_error
from tests.factories import make_item, make_token, make_usage, make_user
from tests.settings import client_with

USERS = "/api/v1/users/export"
ITEMS = "/api/v1/items/export"
USAGE = "/api/v1/usage/export"
AUDIT = "/api/v1/audit/export"
WHOLE_SECOND = datetime(2026, 11, 25, 18, 0, 0, tzinfo=UTC)
TENTH = WHOLE_SECOND + timedelta(milliseconds=100)
TEXTS = [
    "Lamp",
    "=1+1",
    " -1",
    "'=1",
    "'tis",
    "\uff1d1",
    "\u3000@x",
    "9 lives",
    "-75.63",
    "+49 30 1234",
    "+1-800-555",
    "-3\n",
    "-1+1",
    "-1\u202f234,56 ",
    "{",
    "\u00c4, \u00df",
    'say "hi"',
    "two\nlines",
    "a\rb",
    "\r",
    "\\.",
    " ",
]
FORMULA = re.compile(r"^(?![-+]\d[\d .]*$)\s*[-=+@\t\r\uff0d\uff1d\uff0b\uff20]")


@pytest.fixture
def owner(db: Session) -> User:
    return make_user(db, email="owner@example.com", department="Sales")


@pytest.fixture
def items(db: Session, owner: User) -> list[Item]:
    """With every kind of text, and moments with and without a fraction."""
    moments = {"created_at": WHOLE_SECOND, "updated_at": TENTH}
    return [
        make_item(db, owner=owner, title=text, description=text[::-1], **moments) for text in TEXTS
    ]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


# --- What a file holds


def test_export_items_is_csv_byte_by_byte(as_admin: TestClient, db: Session, owner: User) -> None:
    moments = {"created_at": WHOLE_SECOND, "updated_at": TENTH}
    one = make_item(db, owner=owner, title="=1+1", description='a "b", c\nd', **moments)
    other = make_item(db, owner=owner, title="\u00c4", description="", **moments)

    response = as_admin.get(ITEMS)

    moments_told = "2026-11-25T18:00:00Z,2026-11-25T18:00:00.100000Z"
    assert response.content.decode() == (
        "id,title,description,status,owner_id,created_at,updated_at,version\n"
        f'{one.id},\'=1+1,"a ""b"", c\nd",draft,{owner.id},{moments_told},1\n'
        f"{other.id},\u00c4,,draft,{owner.id},{moments_told},1\n"
    )


@pytest.mark.usefixtures("items")
def test_export_items_says_in_csv_what_the_list_says(as_admin: TestClient) -> None:
    listed = as_admin.get("/api/v1/items/").json()

    rows = rows_of(as_admin.get(ITEMS).text)

    read = [{name: read_harmless(cell) for name, cell in row.items()} for row in rows]
    assert read == [{name: str(value) for name, value in record.items()} for record in listed]


@pytest.mark.usefixtures("items")
def test_export_items_holds_no_formula(as_admin: TestClient) -> None:
    rows = rows_of(as_admin.get(ITEMS).text)

    cells = [row[name] for row in rows for name in ("title", "description")]
    assert len(cells) == 2 * len(TEXTS)
    assert [cell for cell in cells if FORMULA.search(cell)] == []


@pytest.mark.usefixtures("items")
def test_export_items_says_in_json_lines_what_the_list_says(as_admin: TestClient) -> None:
    listed = as_admin.get("/api/v1/items/")

    response = as_admin.get(ITEMS, params={"format": "jsonl"})

    *lines, end = response.text.split("\n")
    assert f"[{','.join(lines)}]" == listed.text
    assert end == ""


def test_export_items_is_a_workbook_without_formulas_and_links(
    as_admin: TestClient, db: Session, owner: User, items: list[Item]
) -> None:
    make_item(db, owner=owner, title="https://example.com")

    response = as_admin.get(ITEMS, params={"format": "xlsx"})

    with zipfile.ZipFile(io.BytesIO(response.content)) as file:
        sheet = file.read("xl/worksheets/sheet1.xml").decode()
    rows = re.findall(r"<row .*?</row>", sheet, re.DOTALL)
    assert len(rows) == len(TEXTS) + 2
    assert re.findall(r"<c[^>]*><v>(.*?)</v>", rows[1])[0] == str(items[0].id)  # A number.
    assert all(f">{text}</t>" in sheet for text in ("=1+1", "'=1", "https://example.com"))
    assert "<f>" not in sheet
    assert "<hyperlink" not in sheet


def test_export_users_says_what_the_list_says(as_admin: TestClient, db: Session) -> None:
    make_user(db, email="ann@example.com", full_name="Ann", token_quota=None, is_active=False)
    listed = as_admin.get("/api/v1/users/").json()

    rows = rows_of(as_admin.get(USERS).text)

    texts = {None: "", True: "true", False: "false"}
    assert rows == [
        {n: texts[v] if v is None or isinstance(v, bool) else str(v) for n, v in one.items()}
        for one in listed
    ]
    assert list(rows[0]) == list(listed[0])


def test_export_audit_says_what_the_list_says(as_admin: TestClient, db: Session) -> None:
    user = make_user(db)
    changes = {"full_name": 'Ann "\u00c4" \u200d', "department": "a b\\", "token_quota": 5}
    as_admin.patch(f"/api/v1/users/{user.id}", json=changes)
    asked = {"action": "update"}
    (listed,) = as_admin.get("/api/v1/audit/", params=asked).json()

    (row,) = rows_of(as_admin.get(AUDIT, params=asked).text)
    line = as_admin.get(AUDIT, params={**asked, "format": "jsonl"}).text

    assert json.loads(row["changes"]) == listed["changes"]
    assert row["changes"].startswith('{"full_name": [null, "Ann \\"\u00c4')  # Short keys first.
    assert json.loads(line) == listed


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize("url", [USERS, ITEMS, USAGE, AUDIT])
def test_export_begins_with_a_byte_order_mark_where_asked(as_admin: TestClient, url: str) -> None:
    bare = as_admin.get(url, params={"bom": "false", "id_lt": 0}).content
    marked = as_admin.get(url, params={"bom": "true", "id_lt": 0}).content

    assert marked == b"\xef\xbb\xbf" + bare
    assert not bare.startswith(b"\xef")


@pytest.mark.parametrize("query", ["bom=true&format=jsonl", "bom=1&format=xlsx", "bom=x", "bom="])
def test_export_items_refuses_a_mark_elsewhere(as_admin: TestClient, query: str) -> None:
    assert_error(as_admin.get(f"{ITEMS}?{query}"), 422, "INVALID_REQUEST", "bom")


def test_export_items_guards_alike_on_every_database(
    as_admin: TestClient, db: Session, owner: User
) -> None:
    dice = random.Random(6)  # noqa: S311  No secret.
    alphabet = "'\u2019-+=@\t\r\n \xa0\u202f0123.,()eE%/*ab\uff0d\u0663\"\u2028\x0b\x1f\x85"
    texts = ["".join(dice.choices(alphabet, k=dice.randrange(1, 8))) for _ in range(4000)]
    db.add_all(Item(title=text, status="draft", owner_id=owner.id) for text in texts)
    db.commit()

    rows = rows_of(as_admin.get(ITEMS).text)

    assert [row["title"] for row in rows] == [make_harmless(text) for text in texts]


def test_export_items_of_nothing_is_a_heading(as_user: TestClient) -> None:
    assert as_user.get(ITEMS).text.count("\n") == 1
    assert as_user.get(ITEMS, params={"format": "jsonl"}).text == ""


def test_export_items_is_whole_beyond_what_is_sent_at_once(
    as_admin: TestClient, db: Session, owner: User
) -> None:
    db.add_all(
        Item(title=f"{n}", description="\u00e4" * 400, status="draft", owner_id=owner.id)
        for n in range(3000)
    )
    db.commit()

    response = as_admin.get(ITEMS)
    lines = as_admin.get(ITEMS, params={"format": "jsonl"}).text

    assert [row["title"] for row in rows_of(response.text)] == [str(n) for n in range(3000)]
    assert [json.loads(line)["title"] for line in lines.splitlines()] == [
        str(n) for n in range(3000)
    ]


# --- The columns of an import


def test_export_items_has_the_columns_of_an_import(
    as_admin: TestClient, db: Session, owner: User
) -> None:
    make_item(db, owner=owner, title="Lamp", description="=1")

    text = as_admin.get(ITEMS, params={"columns": "importable"}).text
    line = as_admin.get(ITEMS, params={"columns": "importable", "format": "jsonl"}).text

    assert text == ("title,description,status,owner_email\nLamp,'=1,draft,owner@example.com\n")
    assert json.loads(line) == {
        "title": "Lamp",
        "description": "=1",
        "status": "draft",
        "owner_email": "owner@example.com",
    }


def test_export_items_names_no_deleted_owner(
    as_admin: TestClient, db: Session, owner: User
) -> None:
    make_item(db, owner=owner)
    owner.deleted_at = utc_now()
    db.commit()

    text = as_admin.get(ITEMS, params={"columns": "importable"}).text

    assert text == "title,description,status,owner_email\nDesk lamp,,draft,\n"


def test_export_users_has_the_columns_of_an_import(as_admin: TestClient, owner: User) -> None:
    text = as_admin.get(USERS, params={"columns": "importable", "email": owner.email}).text

    assert text == (
        "email,username,full_name,department,role,is_active,is_verified,token_quota\n"
        f"owner@example.com,{owner.username},,Sales,user,true,true,1000\n"
    )


# --- Which rows


@pytest.mark.parametrize(
    "query",
    [
        "?q=LAMP",
        "?title_like=i&sort=-title",
        "?id=FIRST&id=LAST",
        "?id_gt=FIRST&sort=-id",
        "?created_at_gte=2026-11-25&status=draft",
        '?filter={"q":"l","id":[FIRST,LAST]}&sort=["id","DESC"]',
        "?_sort=title&_order=desc&title_ne=Lamp",
        "?title=x'); --",
        "?q=100%25",
    ],
)
def test_export_items_takes_the_parameters_of_the_list(
    as_admin: TestClient, items: list[Item], query: str
) -> None:
    query = query.replace("FIRST", str(items[0].id)).replace("LAST", str(items[-1].id))
    listed = [record["id"] for record in as_admin.get(f"/api/v1/items/{query}").json()]

    rows = rows_of(as_admin.get(f"{ITEMS}{query}").text)

    assert [int(row["id"]) for row in rows] == listed


@pytest.mark.parametrize("role", list(Role))
def test_export_items_holds_what_each_role_may_list(
    client_of: Callable[[User], TestClient], db: Session, owner: User, role: Role
) -> None:
    caller = make_user(db, role=role, department="Sales")
    for one in (caller, owner, make_user(db, department="Kitchen")):
        make_item(db, owner=one)
    client = client_of(caller)
    listed = [record["id"] for record in client.get("/api/v1/items/").json()]

    for columns in ("", "?format=jsonl"):
        text = client.get(f"{ITEMS}{columns}").text
        ids = (
            [json.loads(line)["id"] for line in text.splitlines()]
            if columns
            else [int(row["id"]) for row in rows_of(text)]
        )
        assert ids == listed
    assert len(listed) == {Role.USER: 1, Role.MANAGER: 2}.get(role, 3)


def test_export_users_holds_whom_a_manager_may_list(
    as_manager: TestClient, manager: User, owner: User, db: Session
) -> None:
    make_user(db, department="Kitchen")

    rows = rows_of(as_manager.get(USERS).text)

    assert {row["email"] for row in rows} == {manager.email, owner.email}


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_export_items_is_of_the_trash_where_asked(
    as_manager: TestClient, as_auditor: TestClient, db: Session, owner: User, form: str
) -> None:
    make_item(db, owner=owner, title="Kept")
    make_item(db, owner=owner, title="Gone", deleted_at=utc_now())
    asked = {"format": form, "deleted": "true"}

    response = as_manager.get(ITEMS, params=asked)

    content = response.content
    if form == "xlsx":
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            content = file.read("xl/worksheets/sheet1.xml")
    assert b"Gone" in content
    assert b"Kept" not in content
    assert_error(as_auditor.get(ITEMS, params=asked), 403, "PERMISSION_DENIED")


@pytest.mark.parametrize("role", list(Role))
def test_export_usage_holds_what_each_role_may_list(
    client_of: Callable[[User], TestClient], db: Session, owner: User, role: Role
) -> None:
    caller = make_user(db, role=role, department="Sales")
    for one in (caller, owner, make_user(db, department="Kitchen")):
        make_usage(db, user=one, note="=1")
    client = client_of(caller)
    listed = client.get("/api/v1/usage/").json()

    rows = rows_of(client.get(USAGE).text)
    lines = client.get(USAGE, params={"format": "jsonl"}).text.splitlines()

    assert [row["id"] for row in rows] == [str(record["id"]) for record in listed]
    assert {row["note"] for row in rows} == {"'=1"}
    assert [json.loads(line) for line in lines] == listed
    assert len(listed) == {Role.USER: 1, Role.MANAGER: 2}.get(role, 3)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("columns", [{}, {"columns": "importable"}])
def test_export_items_leaves_the_trash_out(
    as_admin: TestClient, db: Session, owner: User, form: str, columns: dict[str, str]
) -> None:
    make_item(db, owner=owner, title="Kept")
    make_item(db, owner=owner, title="Gone", deleted_at=utc_now())

    text = as_admin.get(ITEMS, params={"format": form, **columns}).text

    assert "Kept" in text
    assert "Gone" not in text


# --- What is refused


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("skip=0", "skip"),
        ("limit=10", "limit"),
        ("after=x", "after"),
        ("range=[0,24]", "range"),
        ("_start=0", "_start"),
        ("_end=25", "_end"),
        ("format=pdf", "format"),
        ("format=csv&format=xlsx", "format"),
        ("columns=all", "columns"),
        ("colour=red", "colour"),
        ("sort=hashed_password", "sort"),
        ("id=x", "id"),
    ],
)
def test_export_items_refuses_what_it_cannot_do(
    as_admin: TestClient, query: str, field: str
) -> None:
    assert_error(as_admin.get(f"{ITEMS}?{query}"), 422, "INVALID_REQUEST", field)


def test_export_audit_has_no_columns_of_an_import(as_admin: TestClient) -> None:
    response = as_admin.get(AUDIT, params={"columns": "importable"})

    assert_error(response, 422, "INVALID_REQUEST", "columns")


def test_export_items_refuses_more_rows_than_a_sheet_may_have(
    db: Session, admin: User, owner: User
) -> None:
    first, *_ = [make_item(db, owner=owner) for _ in range(3)]
    headers = {"Authorization": f"Bearer {make_token(db, user=admin)}"}

    with client_with(EXPORT_XLSX_MAX_ROWS="2") as client:
        refused = client.get(ITEMS, params={"format": "xlsx"}, headers=headers)
        fewer = client.get(ITEMS, params={"format": "xlsx", "id": first.id}, headers=headers)
        other = client.get(ITEMS, headers=headers)

    assert_error(refused, 422, "SHEET_TOO_LONG", "format")
    assert (fewer.status_code, other.status_code) == (200, 200)


def test_export_items_is_limited_by_user(db: Session, admin: User) -> None:
    headers = {"Authorization": f"Bearer {make_token(db, user=admin)}"}

    with client_with(RATE_LIMIT_ENABLED="true", RATE_LIMIT_EXPORT="1/hour") as client:
        first = client.get(ITEMS, headers=headers)
        second = client.get(USERS, headers=headers)

    assert first.status_code == 200
    assert '"export";r=0' in first.headers["ratelimit"]
    assert_error(second, 429, "RATE_LIMITED")


# --- Around the file


@pytest.mark.parametrize(
    ("form", "content_type"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("jsonl", "application/x-ndjson; charset=utf-8"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ],
)
def test_export_users_names_its_file(as_admin: TestClient, form: str, content_type: str) -> None:
    response = as_admin.get(USERS, params={"format": form})

    today = f"{utc_now():%Y-%m-%d}"
    assert response.headers["content-type"] == content_type
    assert response.headers["content-disposition"] == f'attachment; filename="users-{today}.{form}"'
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert len(response.headers["x-request-id"]) == 24


def events_of_exports(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/v1/audit/", params={"action": "export"}).json()
    return found


def test_export_users_answers_head_without_the_work(as_admin: TestClient) -> None:
    response = as_admin.head(USERS)

    assert response.status_code == 200
    assert response.content == b""
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert events_of_exports(as_admin) == []


def test_export_users_is_audited(as_admin: TestClient, admin: User) -> None:
    asked = {"columns": "importable", "role": ["user", "admin"], "q": "ann", "sort": "-email"}

    response = as_admin.get(USERS, params=asked)

    (event,) = events_of_exports(as_admin)
    assert event["actor_id"] == admin.id
    assert event["resource_type"] == "user"
    assert event["request_id"] == response.headers["x-request-id"]
    assert event["changes"] == {
        "format": [None, "csv"],
        "columns": [None, "importable"],
        "q": [None, "ann"],
        "sort": [None, ["-email"]],
        "filters": [None, {"role_eq": ["user", "admin"]}],
    }


def test_export_items_refused_is_no_event(as_admin: TestClient) -> None:
    as_admin.get(ITEMS, params={"format": "pdf"})

    assert events_of_exports(as_admin) == []


def test_export_users_frees_its_thread(db: Session, admin: User) -> None:
    headers = {"Authorization": f"Bearer {make_token(db, user=admin)}"}

    with client_with(EXPORTS_AT_ONCE="1") as client:
        answers = [client.get(USERS, headers=headers) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}
