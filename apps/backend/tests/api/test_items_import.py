import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import AuditEvent, Item, User
from tests.assertions import assert_error
from tests.factories import make_item, make_user
from tests.rows import every_row
from tests.uploads import csv_of, send_file

URL = "/api/v1/items/import"
HEADING = "title,description,status,owner_email,id"


def send(client: TestClient, content: str | bytes, **more: Any) -> Response:
    return send_file(client, URL, content, **more)


def items(db: Session) -> list[tuple[str, str | None, str, int]]:
    db.expire_all()
    rows = db.scalars(select(Item).order_by(Item.id))
    return [(row.title, row.description, row.status, row.owner_id) for row in rows]


def test_import_items_creates_what_the_columns_say(
    as_admin: TestClient, db: Session, user: User, admin: User
) -> None:
    rows = [
        f'Desk lamp,"Brass,\nwith a ""shade""",active,{user.email.upper()}',
        f"'=Table,,draft,{admin.email}",
    ]

    response = send(as_admin, csv_of("title,description,status,owner_email", rows))

    assert response.json() == {"created": 2, "updated": 0, "skipped": 0, "kind": "import"}
    assert items(db) == [
        ("Desk lamp", 'Brass,\nwith a "shade"', "active", user.id),
        ("=Table", None, "draft", admin.id),
    ]


def test_import_items_needs_a_title_only(as_user: TestClient, db: Session, user: User) -> None:
    send(as_user, '{"title": "Lamp"}\n{"title": "Oak"}\n', name="x.jsonl")

    assert items(db) == [("Lamp", None, "draft", user.id), ("Oak", None, "draft", user.id)]


def test_import_items_refuses_an_owner_who_is_not_named(as_admin: TestClient, db: Session) -> None:
    """As a deleted one is not, in an export: the item must not become the importer's."""
    response = send(as_admin, csv_of("title,owner_email", ["Lamp,"]))

    assert_error(response, 409, "OWNER_NOT_FOUND", "rows.0.owner_email")
    assert items(db) == []


def test_import_items_audits_each(as_user: TestClient, db: Session) -> None:
    response = send(as_user, csv_of("title", [f"Lamp {number}" for number in range(60)]))

    events = db.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert len(events) == 60
    assert events[0].changes["title"] == [None, "Lamp 0"]
    assert {event.request_id for event in events} == {response.headers["x-request-id"]}


def test_import_items_gives_no_user_items_of_others(
    as_user: TestClient, db: Session, user: User, admin: User
) -> None:
    rows = [f"Mine,{user.email}", f"Theirs,{admin.email}", "Nobody's,nobody@example.com"]

    response = send(as_user, csv_of("title,owner_email", rows))

    fields = ("rows.1.owner_email", "rows.2.owner_email")
    assert_error(response, 403, "OWNER_NOT_PERMITTED", *fields)
    assert items(db) == []


def test_import_items_finds_owners_within_the_managers_scope(
    as_manager: TestClient, db: Session, user: User
) -> None:
    gone = make_user(db, department="Sales")
    as_manager.delete(f"/api/v1/users/{gone.id}")
    emails = [user.email, make_user(db, department="Home").email, gone.email, "x@example.com"]

    response = send(as_manager, csv_of("title,owner_email", [f"A,{email}" for email in emails]))

    fields = [f"rows.{number}.owner_email" for number in (1, 2, 3)]
    assert_error(response, 409, "OWNER_NOT_FOUND", *fields)


def test_import_items_refuses_those_that_are_there(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)

    response = send(as_user, csv_of("title,id", ["New,", f"Changed,{item.id}"]))

    assert_error(response, 409, "ITEM_EXISTS", "rows.1.id")
    assert len(items(db)) == 1


def test_import_items_skips_those_that_are_there(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user)

    response = send(as_user, csv_of("title,id", ["New,", f"Old,{item.id}"]), on_conflict="skip")

    assert response.json() == {"created": 1, "updated": 0, "skipped": 1, "kind": "import"}
    assert [title for title, *_ in items(db)] == [item.title, "New"]


def test_import_items_updates_only_the_columns_of_the_file(
    as_admin: TestClient, db: Session, user: User, admin: User
) -> None:
    lamp = make_item(db, owner=user, title="Lamp", description="Brass", status="active")
    oak = make_item(db, owner=user, title="Oak")
    rows = [f"Desk lamp,{lamp.id},{admin.email}", f"Oak,{oak.id},"]

    response = send(as_admin, csv_of("title,id,owner_email", rows), on_conflict="update")

    assert response.json() == {"created": 0, "updated": 1, "skipped": 1, "kind": "import"}
    assert items(db) == [
        ("Desk lamp", "Brass", "active", admin.id),
        ("Oak", None, "draft", user.id),
    ]
    assert db.get_one(Item, lamp.id).version == 2
    event = db.scalars(select(AuditEvent)).one()
    assert event.changes == {"title": ["Lamp", "Desk lamp"], "owner_id": [user.id, admin.id]}


def test_import_items_finds_only_what_one_sees(
    as_user: TestClient, db: Session, user: User, admin: User
) -> None:
    deleted = make_item(db, owner=user)
    as_user.delete(f"/api/v1/items/{deleted.id}")
    ids = [make_item(db, owner=admin).id, deleted.id, 10**9]

    for on_conflict in ("error", "skip", "update"):
        content = csv_of("title,id", [f"A,{one}" for one in ids])
        response = send(as_user, content, on_conflict=on_conflict)
        assert_error(response, 404, "ITEM_NOT_FOUND", "rows.0.id", "rows.1.id", "rows.2.id")


def test_import_items_refuses_an_id_twice(as_user: TestClient, db: Session, user: User) -> None:
    item = make_item(db, owner=user)

    content = csv_of("title,id", [f"A,{item.id}", f"B,{item.id}"])
    response = send(as_user, content, on_conflict="update")

    assert_error(response, 409, "ITEM_EXISTS", "rows.1.id")
    assert items(db)[0][0] == item.title


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("title", " "),
        ("title", "x" * 201),
        ("description", "x" * 20_001),
        ("status", ""),
        ("status", "new"),
        ("owner_email", "nobody"),
        ("id", "0"),
        ("id", "1.0"),
        ("id", "9" * 30),
    ],
)
def test_import_items_refuses_a_wrong_cell(as_user: TestClient, column: str, value: str) -> None:
    cells = {"title": "Lamp", column: value}

    response = send(as_user, csv_of(",".join(cells), [",".join(cells.values())]))

    assert_error(response, 422, "INVALID_REQUEST", f"rows.0.{column}")


def test_import_items_takes_texts_of_full_length(as_user: TestClient, db: Session) -> None:
    row = {"title": "\U0001f4a1" * 200, "description": "\U0001f4a1" * 20_000}

    assert send(as_user, json.dumps(row), name="x.jsonl").json()["created"] == 1
    assert items(db)[0][:2] == (row["title"], row["description"])


def test_import_items_previews_changes_and_errors(
    as_user: TestClient, db: Session, user: User
) -> None:
    item = make_item(db, owner=user, title="Lamp")
    before = every_row(db)

    content = csv_of("title,id", ["New,", f"Desk lamp,{item.id}", "Lost,999999999", ",5"])
    response = send(as_user, content, on_conflict="update", dry_run=True)

    body = response.json()
    assert response.status_code == 200
    assert (body["created"], body["updated"], body["skipped"]) == (0, 0, 0)
    assert (body["refused"], body["detail"]) == (
        True,
        "2 rows are refused, and nothing was changed.",
    )
    assert set(body["errors"]) == {"rows.2.id", "rows.3.title"}
    assert [one["id"] for one in body["changes"]] == [None, item.id]
    assert body["changes"][1]["fields"] == {"title": ["Lamp", "Desk lamp"]}
    assert every_row(db) == before


def test_import_items_needs_a_verified_address(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    client = client_of(make_user(db, role=Role.USER, is_verified=False))

    assert_error(send(client, csv_of("title", ["Lamp"])), 403, "NOT_VERIFIED")


def test_import_items_costs_as_many_statements_for_a_thousand_rows_as_for_ten(
    as_admin: TestClient, statements: list[str], db: Session
) -> None:
    for number in range(20):
        make_user(db, email=f"u{number}@example.com")
    rows = [f"Lamp,u{number % 20}@example.com" for number in range(1000)]
    send(as_admin, csv_of("title,owner_email", rows[:60]))
    few = len(statements)

    response = send(as_admin, csv_of("title,owner_email", rows))

    assert response.json()["created"] == 1000
    assert len(statements) - few == few < 15
    assert db.scalar(select(func.count()).select_from(Item)) == 1060


def test_get_item_template_gives_the_heading(as_user: TestClient) -> None:
    response = as_user.get(f"{URL}/template")

    assert response.text == f"{HEADING}\r\n"
    assert response.headers["content-disposition"] == 'attachment; filename="items.csv"'
