"""Files as offices have them: which are read, and what is told of those that are not."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.models import AuditEvent, Item, User
from tests.assertions import assert_error
from tests.factories import make_item, make_user
from tests.rows import every_row
from tests.uploads import csv_of, send_file
from tests.workbooks import Broken, ods_of, with_part, xlsx_of

API = "/api/v1"
ITEMS = f"{API}/items/import"
USERS = f"{API}/users/import"
READ_ONLY = {
    "items": ["created_at", "owner_id", "updated_at"],
    "users": ["created_at", "last_login_at", "updated_at"],
}
CONTROLS = "a\x01b\x0bc\x1fd\x7fe\x85f\u2028g"
DECOMPOSED = "cafe\u0301"


def titles(db: Session) -> list[tuple[str, str | None, str]]:
    db.expire_all()
    rows = db.scalars(select(Item).order_by(Item.id))
    return [(row.title, row.description, row.status) for row in rows]


def send(client: TestClient, content: str | bytes, **more: Any) -> Response:
    return send_file(client, ITEMS, content, **more)


# --- Delimiters and headings.


@pytest.mark.parametrize(
    "content",
    [
        "title;status\nLamp;active\n",
        "title\tstatus\nLamp\tactive\n",
        "title,status\nLamp,active\n",
        "sep=;\r\ntitle;status\r\nLamp;active\r\n",
        "sep=,\ntitle,status\nLamp,active\n",
        "sep=\t\ntitle\tstatus\nLamp\tactive\n",
        "SEP=|\ntitle|status\nLamp|active\n",
        '"sep=;"\ntitle;status\nLamp;active\n',
        "\ufeffsep=;\ntitle;status\nLamp;active\n",
        "\ufefftitle;status\r\nLamp;active\r\n",
        "title;status;;\nLamp;active;;\n;;;\n;;;\n",
        "title,status,,\nLamp,active,,\n,,,\n,,,\n",
        "title\tstatus\t\nLamp\tactive\t\n\t\t\n",
        ' "Title" ; STATUS \nLamp;active\n',
        '"title";"status"\n"Lamp";"active"\n',
        ";;\ntitle;status\nLamp;active\n",
        "title;status;description\nLamp;active\n",
        'title;description;status\n"Lamp";"";"active"\n',
        "status;title\ractive;Lamp\r",
        "created_at;title;status\nx,y;Lamp;active\n",
    ],
)
def test_import_items_reads_what_offices_write(
    as_user: TestClient, db: Session, content: str
) -> None:
    assert send(as_user, content).json()["created"] == 1
    assert titles(db) == [("Lamp", None, "active")]


def test_import_items_keeps_other_delimiters_in_texts(as_user: TestClient, db: Session) -> None:
    send(as_user, "title\nLamp, of brass; old\n")
    send(as_user, 'title;description\n"A;b";c,d\n')

    assert titles(db)[0][:2] == ("Lamp, of brass; old", None)
    assert titles(db)[1][:2] == ("A;b", "c,d")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("sep=;\ntitle;status\nLamp;active\nOak;new\n", 4),
        ('sep=;\ntitle;status\n"La\nmp";active\nOak;new\n', 5),
        ("title;status\nLamp;active\n;\nOak;new\n", 4),
    ],
)
def test_import_items_names_the_line_of_the_file(
    as_user: TestClient, content: str, line: int
) -> None:
    errors = send(as_user, content).json()["errors"]

    assert errors["rows.1.status"].startswith(f"Line {line}: ")


@pytest.mark.parametrize(
    ("heading", "found"),
    [
        ("name;state", ["name", "state"]),
        ("title;colour", ["colour"]),
        ("colour\ttitle\tsize", ["colour", "size"]),
        ("titel,beschreibung", ["titel", "beschreibung"]),
        ("Titel; BESCHREIBUNG ;Title", ["Titel", "BESCHREIBUNG"]),
        ('"title;status"', ["title;status"]),
        ("title|status", ["title|status"]),
    ],
)
def test_import_items_names_the_columns_found_and_those_expected(
    as_user: TestClient, heading: str, found: list[str]
) -> None:
    response = send(as_user, f"{heading}\na\n")

    body = response.json()
    assert (response.status_code, body["error"]) == (422, "WRONG_COLUMNS")
    assert body["detail"].startswith(f"Unrecognised columns: {', '.join(found)}.")
    assert body["detail"].endswith("Expected: title, description, status, owner_email, id.")
    assert {f"columns.{one}" for one in found} <= body["errors"].keys()


def test_import_items_names_a_score_of_wrong_columns_at_most(as_user: TestClient) -> None:
    response = send(as_user, f"title,{','.join(f'c{n}' for n in range(5000))}\nLamp\n")

    assert len(response.json()["errors"]) == 20


def test_import_items_refuses_more_values_than_columns(as_user: TestClient) -> None:
    response = send(as_user, "title;status;;\nLamp;active;;stray\n")

    assert response.json()["errors"] == {"rows.0": "Line 2: There are 4 values for 2 columns."}


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_import_items_says_to_save_as_utf_8(as_user: TestClient, encoding: str, name: str) -> None:
    response = send(
        as_user, 'title\nJ\u00fcrgen\n{"title": "\u00e9"}\n'.encode(encoding), name=name
    )

    assert_error(response, 422, "UNREADABLE_FILE", "file")
    assert "save as UTF-8" in response.json()["detail"]
    assert "NUL" not in response.text


# --- Workbooks.


@pytest.mark.parametrize(("make", "name"), [(xlsx_of, "x.xlsx"), (ods_of, "x.ods")])
def test_import_users_reads_a_workbook(
    as_admin: TestClient, db: Session, make: Callable[..., bytes], name: str
) -> None:
    moment = datetime(2026, 11, 25, 18, 0, 0)  # noqa: DTZ001  As a cell holds it.
    content = make(
        [
            [None, None],
            ["Email ", "Full_name", "token_quota", "is_active", "created_at", "department"],
            ["ann@example.com", 12, 12.0, False, moment, "007"],
            [None, None, None],
            ["zoe@example.com", 0.1, None, "TRUE", date(2026, 11, 25), "'=1"],
            ["eve@example.com", date(2026, 11, 25), "7", True, None, True],
            ["", None],
        ]
    )

    response = send_file(as_admin, USERS, content, name=name)

    assert response.json() == {
        "created": 3,
        "updated": 0,
        "skipped": 0,
        "ignored_columns": ["created_at"],
        "kind": "import",
    }
    found = db.scalars(select(User).where(User.email.like("%example.com")).order_by(User.id)).all()
    assert [
        (one.full_name, one.token_quota, one.is_active, one.department) for one in found[-3:]
    ] == [
        ("12", 12, False, "007"),
        ("0.1", None, True, "'=1"),
        ("2026-11-25", 7, True, "true"),
    ]


@pytest.mark.parametrize(("make", "name"), [(xlsx_of, "x.xlsx"), (ods_of, "x.ods")])
def test_import_items_names_the_row_of_a_workbook(
    as_user: TestClient, db: Session, make: Callable[..., bytes], name: str
) -> None:
    rows = [
        ["title", "status"],
        [],
        ["Lamp", "new"],
        ["Oak", Broken],
        [Broken, "draft"],
        [1.5, 2.5],
    ]

    errors = send(as_user, make(rows), name=name).json()["errors"]

    assert {path: text.split(":")[0] for path, text in errors.items()} == {
        "rows.0.status": "Row 3",
        "rows.1.status": "Row 4",
        "rows.2.title": "Row 5",
        "rows.3.status": "Row 6",
    }
    assert errors["rows.1.status"] == "Row 4: The cell holds an error, such as #N/A."
    assert titles(db) == []


def test_import_items_reads_the_first_sheet_with_rows(as_user: TestClient, db: Session) -> None:
    content = xlsx_of([], [["title"], ["Lamp"]], [["title"], ["Oak"], [Broken]])

    assert send(as_user, content, name="x.xlsx").json()["created"] == 1
    assert titles(db) == [("Lamp", None, "draft")]


@pytest.mark.parametrize("make", [lambda: xlsx_of([], []), lambda: xlsx_of([["title"], [], []])])
def test_import_items_refuses_a_workbook_without_rows(
    as_user: TestClient, make: Callable[[], bytes]
) -> None:
    assert_error(send(as_user, make(), name="x.xlsx"), 422, "EMPTY_FILE", "file")


def test_import_items_reads_tabs_by_name(as_user: TestClient, db: Session) -> None:
    send(as_user, "title\tstatus\nLamp\tactive\n", name="x.tsv")

    assert titles(db) == [("Lamp", None, "active")]


def test_import_items_takes_a_text_that_reads_like_an_error(
    as_user: TestClient, db: Session
) -> None:
    send(as_user, xlsx_of([["title"], ["#N/A"], ["=1+1"], ["-3"]]), name="x.xlsx")

    assert [title for title, *_ in titles(db)] == ["#N/A", "=1+1", "-3"]


def far_cell() -> bytes:
    return xlsx_of([["title"], *([] for _ in range(1_048_574)), [*[None] * 16_383, "x"]])


def unpacking_to(size: int) -> bytes:
    book = xlsx_of([["title"], ["Lamp"]])
    return with_part(book, "xl/worksheets/sheet1.xml", b" " * size)


def wide_ods() -> bytes:
    cell = '<table:table-cell table:number-columns-repeated="16000" office:value-type="string">'
    row = f"{cell}<text:p>title</text:p></table:table-cell>"
    return with_part(
        ods_of([["@"]]),
        "content.xml",
        ods_content().replace(
            "ROWS", f'<table:table-row table:number-rows-repeated="6000">{row}</table:table-row>'
        ),
    )


def ods_content() -> str:
    names = "".join(
        f' xmlns:{one}="urn:oasis:names:tc:opendocument:xmlns:{one}:1.0"'
        for one in ("office", "table", "text")
    )
    return (
        f"<office:document-content{names}><office:body><office:spreadsheet>"
        '<table:table table:name="S">ROWS</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"title\nLamp\n",
        lambda: b"",
        lambda: b"PK\x03\x04nonsense",
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 5000,  # Old, or with a password.
        lambda: xlsx_of([["title"], ["Lamp"]])[:-200],
        lambda: with_part(
            xlsx_of([["title"]]), "xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row"
        ),
        lambda: with_part(xlsx_of([["title"]]), "xl/workbook.xml", b""),
        lambda: unpacking_to(2**28 + 1),
        far_cell,
        wide_ods,
    ],
)
@pytest.mark.parametrize("name", ["x.xlsx", "x.ods", "x.xls"])
def test_import_items_tells_the_way_out_of_a_workbook_that_cannot_be_read(
    as_user: TestClient, db: Session, make: Callable[[], bytes], name: str
) -> None:
    response = send(as_user, make(), name=name)

    assert_error(response, 422, "UNREADABLE_FILE", "file")
    assert "Save it as .xlsx without a password, or as CSV in UTF-8." in response.json()["detail"]
    assert titles(db) == []


@pytest.mark.parametrize(
    ("name", "media_type", "given"),
    [
        ("x.xlsx", "application/octet-stream", None),
        ("X.XLSX", "text/plain", None),
        ("x", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", None),
        ("x.bin", "application/octet-stream", "xlsx"),
        ("x.csv", "text/csv", "xlsx"),
    ],
)
def test_import_items_knows_a_workbook(
    as_user: TestClient, name: str, media_type: str, given: str | None
) -> None:
    file = (name, xlsx_of([["title"], ["Lamp"]]), media_type)

    response = as_user.post(ITEMS, params={"format": given} if given else {}, files={"file": file})

    assert response.json() == {"created": 1, "updated": 0, "skipped": 0, "kind": "import"}


def test_import_items_of_a_workbook_once_by_a_key(as_user: TestClient, db: Session) -> None:
    file = ("x.xlsx", xlsx_of([["title"], ["Lamp"]]))

    answers = [
        as_user.post(ITEMS, files={"file": file}, headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]

    assert [answer.json()["created"] for answer in answers] == [1, 1]
    assert len(titles(db)) == 1


# --- What was exported, as it is.


def exported(client: TestClient, resource: str, form: str, **query: Any) -> bytes:
    response = client.get(f"{API}/{resource}/export", params={"format": form, **query})
    assert response.status_code == 200
    return response.content


def brought_back(
    client: TestClient, resource: str, form: str, content: bytes, **query: Any
) -> Response:
    return send_file(
        client, f"{API}/{resource}/import", content, name=f"x.{form}", on_conflict="update", **query
    )


def make_legacy(db: Session) -> None:
    """As an older release may have left it."""
    for number, text in enumerate(
        [CONTROLS, DECOMPOSED, "=1+1", "'=1", "-3", " a  b ", "_x0041_", "a\r\nb", "\u202ex", "007"]
    ):
        owner = make_user(db, full_name=text, department=f"{text}", token_quota=None)
        item = make_item(db, owner=owner, title=text, description=text[::-1])
        if number % 3 == 0:
            values = {"title": " ", "description": ""}
            db.execute(update(Item).where(Item.id == item.id).values(**values))
            db.execute(update(User).where(User.id == owner.id).values(full_name="", department=""))
    db.commit()


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
@pytest.mark.parametrize("resource", ["items", "users"])
@pytest.mark.parametrize("on_conflict", ["update", "skip"])
def test_import_of_an_export_as_it_is_writes_nothing(
    as_admin: TestClient, db: Session, resource: str, form: str, on_conflict: str
) -> None:
    make_legacy(db)
    content = exported(as_admin, resource, form)
    before = every_row(db)

    response = send_file(
        as_admin, f"{API}/{resource}/import", content, name=f"x.{form}", on_conflict=on_conflict
    )

    count = 10 if resource == "items" else 11
    assert response.json() == {
        "created": 0,
        "updated": 0,
        "skipped": count,
        "ignored_columns": READ_ONLY[resource],
        "kind": "import",
    }
    assert every_row(db) == before


def test_import_of_an_export_with_a_byte_order_mark(
    as_admin: TestClient, db: Session, user: User
) -> None:
    make_item(db, owner=user)
    content = exported(as_admin, "items", "csv", bom=True)

    assert brought_back(as_admin, "items", "csv", content).json()["skipped"] == 1


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_import_of_an_export_changes_what_was_changed_in_it(
    as_admin: TestClient, db: Session, user: User, form: str
) -> None:
    make_legacy(db)
    lamp = make_item(db, owner=user, title="Desk lamp")
    legacy = make_item(db, owner=user, title="Desk lamp", description=CONTROLS)
    content = exported(as_admin, "items", form).replace(b"Desk lamp", b"Floor lamp")

    response = brought_back(as_admin, "items", form, content)

    assert (response.json()["updated"], response.json()["skipped"]) == (2, 10)
    db.expire_all()
    for item in (db.get_one(Item, lamp.id), db.get_one(Item, legacy.id)):
        assert (item.title, item.version, item.owner_id) == ("Floor lamp", 2, user.id)
    assert db.get_one(Item, legacy.id).description == CONTROLS
    events = db.scalars(select(AuditEvent).where(AuditEvent.action == "update")).all()
    assert [event.changes for event in events] == [{"title": ["Desk lamp", "Floor lamp"]}] * 2


def test_import_users_changes_by_id_also_the_e_mail(
    as_admin: TestClient, db: Session, user: User
) -> None:
    rows = [f"{user.id},new@example.com,Ann"]

    response = send_file(as_admin, USERS, csv_of("id,email,full_name", rows), on_conflict="update")

    assert response.json() == {"created": 0, "updated": 1, "skipped": 0, "kind": "import"}
    db.expire_all()
    changed = db.get_one(User, user.id)
    assert (changed.email, changed.full_name) == ("new@example.com", "Ann")


def test_import_users_by_id_needs_no_e_mail_and_makes_nobody(
    as_admin: TestClient, db: Session, user: User
) -> None:
    count = db.scalar(select(func.count()).select_from(User))

    content = csv_of("id,department", [f"{user.id},Home"])
    assert send_file(as_admin, USERS, content, on_conflict="update").json()["updated"] == 1
    content = csv_of("id,department", ["999999,Home", ",Home", "x,Home"])
    response = send_file(as_admin, USERS, content, on_conflict="update")

    assert_error(response, 422, "BULK_REFUSED", "rows.0.id", "rows.1.email", "rows.2.id")
    assert db.scalar(select(func.count()).select_from(User)) == count


def test_import_users_by_id_refuses_names_of_others(
    as_admin: TestClient, db: Session, user: User, admin: User
) -> None:
    rows = [f"{user.id},{admin.email},{admin.username}"]

    response = send_file(as_admin, USERS, csv_of("id,email,username", rows), on_conflict="update")

    assert_error(response, 422, "BULK_REFUSED", "rows.0.email", "rows.0.username")


def test_import_users_by_id_keeps_to_the_managers_scope(
    as_manager: TestClient, db: Session, admin: User
) -> None:
    content = csv_of("id,full_name", [f"{admin.id},Changed"])

    response = send_file(as_manager, USERS, content, on_conflict="update")

    assert_error(response, 404, "USER_NOT_FOUND", "rows.0.id")


def test_import_users_refuses_a_user_twice(as_admin: TestClient, db: Session, user: User) -> None:
    rows = [f"{user.id},{user.email},A", f",{user.email},B", f"{user.id},x@example.com,C"]

    response = send_file(as_admin, USERS, csv_of("id,email,full_name", rows), on_conflict="update")

    assert_error(response, 409, "EMAIL_TAKEN", "rows.1.email", "rows.2.email")


@pytest.mark.parametrize("resource", ["items", "users"])
@pytest.mark.parametrize("version", ["1", "3", "99"])
def test_import_of_another_version_is_refused(
    as_admin: TestClient, db: Session, user: User, resource: str, version: str
) -> None:
    record = user if resource == "users" else make_item(db, owner=user)
    column = "full_name" if resource == "users" else "title"
    url = f"{API}/{resource}/{record.id}"
    assert as_admin.patch(url, json={column: "Changed"}).status_code == 200

    def sent(number: str, **query: Any) -> Response:
        content = csv_of(f"id,{column},version", [f"{record.id},Mine,{number}"])
        return send_file(as_admin, f"{API}/{resource}/import", content, **query)

    refused = sent(version, on_conflict="update")
    skipped = sent(version, on_conflict="skip")
    taken = sent("2", on_conflict="update")

    assert_error(refused, 412, "CHANGED_MEANWHILE", "rows.0.version")
    assert skipped.json()["skipped"] == 1
    assert taken.json()["updated"] == 1


def test_import_items_ignores_read_only_columns_of_new_ones(
    as_admin: TestClient, db: Session, user: User, admin: User
) -> None:
    rows = [f"Lamp,,7,{user.id},2020-01-01T00:00:00Z"]

    response = send(as_admin, csv_of("title,id,version,owner_id,created_at", rows))

    assert response.json()["ignored_columns"] == ["created_at", "owner_id"]
    item = db.scalars(select(Item)).one()
    assert (item.owner_id, item.version, item.created_at.year) == (admin.id, 1, 2026)


def test_import_users_guesses_no_hidden_value(
    as_admin: TestClient, db: Session, user: User
) -> None:
    """A column that is not imported is refused, also where it holds what is stored."""
    db.execute(update(User).where(User.id == user.id).values(hashed_password="hash"))
    db.commit()
    line = f'{{"id": {user.id}, "hashed_password": "hash"}}'

    response = send_file(as_admin, USERS, line, name="x.jsonl", on_conflict="update")

    assert_error(response, 422, "INVALID_REQUEST", "rows.0.hashed_password")


def test_import_items_preview_of_some_bad_rows_counts_nothing(
    as_user: TestClient, db: Session, user: User
) -> None:
    lamp = make_item(db, owner=user, title="Lamp")
    rows = [f"Item {n},{'new' if n % 20 == 7 else 'draft'}," for n in range(50)]
    content = csv_of("title,status,id", [*rows, f"Lamp,draft,{lamp.id}"])
    before = every_row(db)

    body = send(as_user, content, on_conflict="update", dry_run=True).json()

    assert (body["created"], body["updated"], body["skipped"]) == (0, 0, 0)
    assert (body["refused"], list(body["errors"])) == (
        True,
        ["rows.7.status", "rows.27.status", "rows.47.status"],
    )
    assert body["detail"].startswith("3 rows are refused, and nothing was changed.")
    assert every_row(db) == before
