import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.core.permissions import Role
from app.db.session import unit_of_work
from app.models import AuditEvent, LoginSession, User
from tests.assertions import assert_error
from tests.factories import make_session, make_user
from tests.letters import letters
from tests.racing import at_once, statuses, wait_until_somebody_waits_for_a_lock
from tests.rows import every_row
from tests.uploads import csv_of, send_file

URL = "/api/v1/users/import"
HEADING = "email,username,full_name,department,role,is_active,is_verified,token_quota"


def send(client: TestClient, content: str | bytes, **more: Any) -> Response:
    return send_file(client, URL, content, **more)


def by_email(db: Session, email: str) -> User:
    db.expire_all()
    return db.scalars(select(User).where(User.email == email)).one()


def count_users(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(User)) or 0


# --- New users.


def test_import_users_creates_what_the_columns_say(as_admin: TestClient, db: Session) -> None:
    rows = [
        "Ann@Example.com,Ann,Ann Lee,Sales,manager,TRUE,false,7",
        'zoe@example.com,,"Zoe ""Z"", of Home",,user,false,true,',
    ]

    response = send(as_admin, csv_of(HEADING, rows))

    ann, zoe = by_email(db, "ann@example.com"), by_email(db, "zoe@example.com")
    assert (response.status_code, response.json()) == (
        200,
        {"created": 2, "updated": 0, "skipped": 0, "kind": "import"},
    )
    assert (ann.username, ann.full_name, ann.department) == ("ann", "Ann Lee", "Sales")
    assert (ann.role, ann.is_active, ann.is_verified, ann.token_quota) == (
        "manager",
        True,
        False,
        7,
    )
    assert (zoe.username, zoe.full_name, zoe.department) == ("zoe", 'Zoe "Z", of Home', None)
    assert (zoe.role, zoe.is_active, zoe.is_verified) == ("user", False, True)
    assert zoe.token_quota is None
    assert zoe.hashed_password is None


def test_import_users_gives_the_default_quota_where_the_column_is_missing(
    as_admin: TestClient, db: Session
) -> None:
    send(as_admin, csv_of("email", ["ann@example.com"]))

    ann = by_email(db, "ann@example.com")
    assert ann.token_quota == get_settings().DEFAULT_TOKEN_QUOTA
    assert (ann.role, ann.is_active, ann.is_verified) == ("user", True, True)


def test_import_users_reads_json_lines(as_admin: TestClient, db: Session) -> None:
    rows: list[dict[str, Any]] = [
        {"email": "ann@example.com", "is_active": False, "token_quota": 5, "full_name": "'=A"},
        {"email": "zoe@example.com", "token_quota": None},
        {"email": "eve@example.com"},
    ]
    content = "\ufeff" + "\r\n\n".join(json.dumps(row) for row in rows)

    response = send(as_admin, content, name="users.jsonl")

    assert response.json() == {"created": 3, "updated": 0, "skipped": 0, "kind": "import"}
    ann = by_email(db, "ann@example.com")
    assert (ann.is_active, ann.token_quota, ann.full_name) == (False, 5, "'=A")
    assert by_email(db, "zoe@example.com").token_quota is None
    assert by_email(db, "eve@example.com").token_quota == get_settings().DEFAULT_TOKEN_QUOTA


def test_import_users_takes_off_what_made_text_harmless(as_admin: TestClient, db: Session) -> None:
    rows = ["'-ann@example.com,'=SUM(A1)", "zoe@example.com,'Zoe'", "eve@example.com,''=x"]

    send(as_admin, csv_of("email,full_name", rows))

    assert by_email(db, "-ann@example.com").full_name == "=SUM(A1)"
    assert by_email(db, "zoe@example.com").full_name == "'Zoe'"
    assert by_email(db, "eve@example.com").full_name == "'=x"


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffemail\r\nann@example.com\r\n",
        "email\rann@example.com\r",
        "Email \nann@example.com",
        '"email"\n"ann@example.com"\n\n""\n',
        "\nemail,full_name\n,\nann@example.com,\n,\n",
    ],
)
def test_import_users_reads_what_spreadsheets_write(
    as_admin: TestClient, db: Session, content: str
) -> None:
    assert send(as_admin, content).json() == {
        "created": 1,
        "updated": 0,
        "skipped": 0,
        "kind": "import",
    }
    assert by_email(db, "ann@example.com").full_name is None


def test_import_users_audits_and_invites_each(as_admin: TestClient, db: Session) -> None:
    rows = ["ann@example.com,true", "zoe@example.com,false"]

    response = send(as_admin, csv_of("email,is_active", rows))

    events = db.scalars(select(AuditEvent)).all()
    assert {event.changes["email"][1] for event in events} == {"ann@example.com", "zoe@example.com"}
    assert {event.request_id for event in events} == {response.headers["x-request-id"]}
    assert letters(db) == [("invitation", "ann@example.com")]


def test_import_users_makes_no_user_name_that_stands_later_in_the_file(
    as_admin: TestClient, db: Session
) -> None:
    rows = ["ann@example.com,", *(f"u{n}@example.com,u{n}x" for n in range(60)), "zoe@x.org,Ann"]

    assert send(as_admin, csv_of("email,username", rows)).json()["created"] == 62
    assert by_email(db, "zoe@x.org").username == "ann"
    assert by_email(db, "ann@example.com").username == "ann2"


def test_import_users_by_a_manager_makes_plain_users_of_their_department(
    as_manager: TestClient, db: Session
) -> None:
    send(as_manager, csv_of("email", ["ann@example.com"]))

    ann = by_email(db, "ann@example.com")
    assert (ann.department, ann.role, ann.token_quota) == ("Sales", "user", 1000)


def test_import_users_by_a_manager_refuses_rows_beyond(as_manager: TestClient, db: Session) -> None:
    rows = ["a@example.com,Sales,admin,", "b@example.com,Home,user,5", "c@example.com,Sales,user,5"]

    response = send(as_manager, csv_of("email,department,role,token_quota", rows))

    fields = ("rows.0.role", "rows.0.token_quota", "rows.1.department")
    assert_error(response, 403, "FIELDS_NOT_PERMITTED", *fields)
    assert count_users(db) == 1


# --- Users that are there.


def test_import_users_refuses_those_that_are_there(
    as_admin: TestClient, db: Session, user: User
) -> None:
    response = send(as_admin, csv_of("email", ["ann@example.com", user.email.upper()]))

    assert_error(response, 409, "EMAIL_TAKEN", "rows.1.email")
    assert response.json()["errors"]["rows.1.email"] == (
        "Line 3: This e-mail is already registered."
    )
    assert response.json()["detail"].startswith("1 row is refused, and nothing was changed.")
    assert count_users(db) == 2


def test_import_users_skips_those_that_are_there(
    as_admin: TestClient, db: Session, user: User
) -> None:
    rows = [f"{user.email},Somebody", "ann@example.com,Ann"]

    response = send(as_admin, csv_of("email,full_name", rows), on_conflict="skip")

    assert response.json() == {"created": 1, "updated": 0, "skipped": 1, "kind": "import"}
    assert by_email(db, user.email).full_name is None


def test_import_users_updates_only_the_columns_of_the_file(
    as_admin: TestClient, db: Session, user: User
) -> None:
    other = make_user(db, full_name="As it was", token_quota=9)
    rows = [f"{user.email},Ann Lee,", f"{other.email},As it was,9", "new@example.com,,1"]

    content = csv_of("email,full_name,token_quota", rows)
    response = send(as_admin, content, on_conflict="update")

    assert response.json() == {"created": 1, "updated": 1, "skipped": 1, "kind": "import"}
    changed = by_email(db, user.email)
    assert (changed.full_name, changed.token_quota, changed.version) == ("Ann Lee", None, 2)
    assert (changed.department, changed.username) == (user.department, user.username)
    assert by_email(db, other.email).version == 1
    event = db.scalars(select(AuditEvent).where(AuditEvent.action == "update")).one()
    assert event.changes == {"full_name": [None, "Ann Lee"], "token_quota": [1000, None]}
    assert event.version == 2


def test_import_users_keeps_a_user_name_where_the_cell_is_empty(
    as_admin: TestClient, db: Session, user: User
) -> None:
    username = user.username

    response = send(as_admin, csv_of("email,username", [f"{user.email},"]), on_conflict="update")

    assert response.json() == {"created": 0, "updated": 0, "skipped": 1, "kind": "import"}
    assert by_email(db, user.email).username == username


def test_import_users_that_deactivates_ends_sessions(
    as_admin: TestClient, db: Session, user: User
) -> None:
    session = make_session(db, user=user)

    send(as_admin, csv_of("email,is_active", [f"{user.email},false"]), on_conflict="update")

    db.expire_all()
    assert not by_email(db, user.email).is_active
    assert db.get_one(LoginSession, session.id).ended_at is not None


def test_import_users_leaves_one_admin(as_admin: TestClient, db: Session, admin: User) -> None:
    rows = [f"{make_user(db, role=Role.ADMIN).email},user" for _ in range(2)]
    content = csv_of("email,role", rows)
    assert send(as_admin, content, on_conflict="update").json()["updated"] == 2

    response = send(as_admin, csv_of("email,role", [f"{admin.email},user"]), on_conflict="update")

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", "rows.0.role")
    assert by_email(db, admin.email).role == Role.ADMIN


def test_import_users_by_a_manager_writes_within_their_scope(
    as_manager: TestClient, db: Session, user: User, admin: User
) -> None:
    boss = make_user(db, department="Sales", role=Role.MANAGER)
    rows = [f"{one.email},Changed,Home" for one in (user, admin, boss)]

    content = csv_of("email,full_name,department", rows)
    response = send(as_manager, content, on_conflict="update")

    assert_error(response, 422, "BULK_REFUSED", "rows.0.department", "rows.1.email", "rows.2")
    assert "EMAIL" not in response.text
    assert by_email(db, user.email).full_name is None
    assert by_email(db, boss.email).full_name is None
    assert by_email(db, admin.email).full_name is None


def test_import_users_names_user_names_that_are_taken(
    as_admin: TestClient, db: Session, user: User, admin: User
) -> None:
    rows = [f"{user.email},{admin.username}", f"new@example.com,{admin.username}"]

    response = send(as_admin, csv_of("email,username", rows), on_conflict="update")

    assert_error(response, 409, "USERNAME_TAKEN", "rows.0.username", "rows.1.username")


# --- What is wrong with a file.


def test_import_users_names_every_error_by_row_column_and_line(
    as_admin: TestClient, db: Session, user: User
) -> None:
    rows = [
        'bob@example.com,"two\nlines",true',
        "nobody,,maybe",
        f"{user.email},,",
        "ann@example.com,,true",
        "ann@example.com,,true",
        "too,many,values,here",
    ]

    response = send(as_admin, csv_of("email,full_name,is_active", rows))

    text = "There are 4 values for 3 columns."
    assert_error(
        response,
        422,
        "BULK_REFUSED",
        "rows.0.full_name",
        "rows.1.email",
        "rows.1.is_active",
        "rows.2.is_active",
        "rows.4.email",
        "rows.5",
    )
    errors = response.json()["errors"]
    assert errors["rows.1.email"] == "Line 4: This is not a valid e-mail address."
    assert errors["rows.2.is_active"] == "Line 5: This field cannot be empty."
    assert errors["rows.4.email"] == "Line 7: This e-mail stands in an earlier row too."
    assert errors["rows.5"] == f"Line 8: {text}"
    assert count_users(db) == 2


def test_import_users_names_unreadable_json_by_line(as_admin: TestClient) -> None:
    lines = ['{"email": "ann@example.com"}', "{", "[1]", '{"email": "x@y.org", "key": 3}', "NaN"]

    response = send(as_admin, "\n".join(lines), name="u.ndjson")

    fields = ("rows.1", "rows.2", "rows.3.key", "rows.4")
    assert_error(response, 422, "INVALID_REQUEST", *fields)
    errors = response.json()["errors"]
    assert errors["rows.1"] == "Line 2: This is not readable JSON."
    assert errors["rows.2"] == "Line 3: Must be a JSON object."
    assert errors["rows.3.key"] == "Line 4: Unknown field."


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("email", ""),
        ("email", "nobody"),
        ("username", "a b"),
        ("full_name", "x" * 101),
        ("department", "a\u2028b"),
        ("role", ""),
        ("role", "boss"),
        ("is_active", "perhaps"),
        ("is_verified", ""),
        ("token_quota", "-1"),
        ("token_quota", "1.0"),
        ("token_quota", "1_000"),
        ("token_quota", "many"),
    ],
)
def test_import_users_refuses_a_wrong_cell(as_admin: TestClient, column: str, value: str) -> None:
    cells = {"email": "ann@example.com", "full_name": "Ann", column: value}

    response = send(as_admin, csv_of(",".join(cells), [",".join(cells.values())]))

    assert_error(response, 422, "INVALID_REQUEST", f"rows.0.{column}")


@pytest.mark.parametrize("column", ["password", "hashed_password", "must_change_password"])
def test_import_users_takes_no_other_columns(
    as_admin: TestClient, db: Session, column: str
) -> None:
    response = send(as_admin, csv_of(f"email,{column}", ["ann@example.com,wallpaper-on-tuesday"]))

    assert_error(response, 422, "WRONG_COLUMNS", f"columns.{column}")
    row = json.dumps({"email": "ann@example.com", column: "wallpaper-on-tuesday"})
    response = send(as_admin, row, name="users.jsonl")
    assert_error(response, 422, "INVALID_REQUEST", f"rows.0.{column}")
    assert "wallpaper" not in response.text + str(every_row(db))


def test_import_users_names_columns_that_are_missing_or_there_twice(as_admin: TestClient) -> None:
    response = send(as_admin, csv_of("full_name,role,full_name,", ["a,b,c,"]))

    fields = ("columns.email", "columns.full_name")
    assert_error(response, 422, "WRONG_COLUMNS", *fields)
    assert response.json()["errors"]["columns.email"] == "This column is missing."


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "email\n", "email\n\n\n"])
def test_import_users_refuses_a_file_without_rows(as_admin: TestClient, content: str) -> None:
    assert_error(send(as_admin, content), 422, "EMPTY_FILE", "file")


def test_import_users_refuses_json_lines_without_rows(as_admin: TestClient) -> None:
    assert_error(send(as_admin, "\n\n", name="u.jsonl"), 422, "EMPTY_FILE", "file")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("email,full_name\na@example.com,Jürgen\n".encode("latin-1"), 2),
        ("email\na@example.com\n".encode("utf-16"), 1),
        (b"email\na@example.com\n\0\n", 3),
        (b"email\n" + b"a" * 600_000 + b"\n", 2),
        (b'email\na@example.com\n"b@example.com\n', 3),
        (b'email\n"a"x@example.com\n', 2),
        (b'email\n"' + b"a\n" * 200_000 + b'"\n', 2),
    ],
)
def test_import_users_refuses_what_is_no_text(
    as_admin: TestClient, content: bytes, line: int
) -> None:
    response = send(as_admin, content)

    assert_error(response, 422, "UNREADABLE_FILE", "file")
    assert response.json()["detail"].startswith(f"Line {line} of the file ")


def test_import_users_shows_the_first_hundred_errors_and_tells_how_many(
    as_admin: TestClient,
) -> None:
    response = send(as_admin, csv_of("email,role", ["nobody,boss"] * 300))

    errors = response.json()["errors"]
    assert len(errors) == 100
    assert list(errors)[0:3] == ["rows.0.email", "rows.0.role", "rows.1.email"]
    assert response.json()["detail"] == (
        "300 rows are refused, and nothing was changed. The first 100 of 600 errors are shown."
    )


def test_import_users_refuses_more_rows_than_it_takes(as_admin: TestClient) -> None:
    response = send(as_admin, "email\n" + "nobody\n" * 200_001)

    assert_error(response, 422, "TOO_MANY_ROWS", "file")


# --- What is wrong with a request.


@pytest.mark.parametrize(
    ("name", "media_type", "given", "status"),
    [
        ("x.csv", "application/vnd.ms-excel", None, 200),
        ("x", "text/csv; charset=utf-8", None, 200),
        ("x.txt", "text/plain", "csv", 200),
        ("x.txt", "text/plain", None, 422),
        ("x", "application/octet-stream", None, 422),
        ("x.xlsx", "text/csv", "xlsx", 422),
    ],
)
def test_import_users_finds_the_format(
    as_admin: TestClient, name: str, media_type: str, given: str | None, status: int
) -> None:
    response = as_admin.post(
        URL,
        params={"format": given} if given else {},
        files={"file": (name, b"email\nann@example.com\n", media_type)},
    )

    assert response.status_code == status
    if status == 422 and given is None:
        assert_error(response, 422, "UNKNOWN_FILE_FORMAT", "file")


def test_import_users_refuses_another_body(as_admin: TestClient) -> None:
    response = as_admin.post(URL, json={"email": "ann@example.com"})
    assert_error(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    response = as_admin.post(URL, content=b"email\n", headers={"Content-Type": "text/csv"})
    assert_error(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert_error(as_admin.post(URL), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_import_users_refuses_a_form_without_a_file_or_with_more(as_admin: TestClient) -> None:
    file = ("users.csv", b"email\nann@example.com\n")

    response = as_admin.post(URL, files={"data": file})
    assert_error(response, 422, "INVALID_REQUEST", "file")
    response = as_admin.post(URL, files=[("file", file), ("file", file)])
    assert_error(response, 422, "INVALID_REQUEST", "file")
    response = as_admin.post(URL, files={"file": file}, data={"dry_run": "true"})
    assert_error(response, 422, "INVALID_REQUEST", "dry_run")
    response = as_admin.post(URL, files={"file": (None, b"email\n")})
    assert_error(response, 422, "INVALID_REQUEST", "file")
    response = as_admin.post(
        URL, content=b"nonsense", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert response.status_code in {400, 422}


@pytest.mark.parametrize("query", [{"on_conflict": "replace"}, {"format": "xml"}, {"dryrun": "1"}])
def test_import_users_refuses_an_unknown_parameter(
    as_admin: TestClient, query: dict[str, str]
) -> None:
    response = send(as_admin, csv_of("email", ["ann@example.com"]), **query)

    assert_error(response, 422, "INVALID_REQUEST", *query)


def test_import_users_takes_a_body_of_twenty_mebibytes_and_no_more(as_admin: TestClient) -> None:
    line = f"nobody,{'x' * 4000}\n"
    content = "email,full_name\n" + line * (get_settings().MAX_IMPORT_BYTES // len(line) - 1)

    assert_error(send(as_admin, content + line * 3), 413, "BODY_TOO_LARGE")
    assert send(as_admin, content, dry_run=True).status_code == 200


def test_import_users_reads_no_file_of_who_may_not(
    as_user: TestClient, anonymous: TestClient
) -> None:
    unreadable = {"Content-Type": "multipart/form-data; boundary=x"}

    assert_error(anonymous.post(URL, content=b"x", headers=unreadable), 401, "NOT_AUTHENTICATED")
    assert_error(as_user.post(URL, content=b"x", headers=unreadable), 403, "PERMISSION_DENIED")


# --- Previews, keys, races, size.


def test_import_users_previews_changes_and_errors(
    as_admin: TestClient, db: Session, user: User
) -> None:
    before = every_row(db)
    rows = ["ann@example.com,Ann", f"{user.email},New name", "nobody,", "x,y,z"]

    content = csv_of("email,full_name", rows)
    response = send(as_admin, content, on_conflict="update", dry_run=True)

    body = response.json()
    assert response.status_code == 200
    assert (body["dry_run"], body["created"], body["updated"], body["skipped"]) == (True, 0, 0, 0)
    assert body["refused"]
    assert set(body["errors"]) == {"rows.2.email", "rows.3"}
    creation, change = body["changes"]
    assert (creation["id"], creation["fields"]["email"]) == (None, [None, "ann@example.com"])
    assert (change["id"], change["fields"]) == (user.id, {"full_name": [None, "New name"]})
    assert every_row(db) == before


def test_import_users_previews_a_thousand_changes_at_most(
    as_admin: TestClient, db: Session
) -> None:
    content = csv_of("email", [f"u{number}@example.com" for number in range(1200)])

    body = send(as_admin, content, dry_run=True).json()

    assert (body["created"], len(body["changes"]), count_users(db)) == (1200, 1000, 1)
    assert (body["refused"], "detail" in body) == (False, False)


def test_import_users_with_one_key_writes_once(as_admin: TestClient, db: Session) -> None:
    files = {"file": ("users.csv", b"email\nann@example.com\n")}
    headers = {"Idempotency-Key": "once"}

    first, again = (as_admin.post(URL, files=files, headers=headers) for _ in range(2))

    assert (
        first.json() == again.json() == {"created": 1, "updated": 0, "skipped": 0, "kind": "import"}
    )
    assert again.headers["idempotency-replayed"] == "true"
    assert count_users(db) == 2


def test_import_users_writes_nothing_where_the_last_of_many_rows_is_wrong(
    as_admin: TestClient, db: Session
) -> None:
    before = every_row(db)
    rows = [f"u{number}@example.com" for number in range(6000)]

    response = send(as_admin, csv_of("email", [*rows, "nobody"]))

    assert_error(response, 422, "INVALID_REQUEST", "rows.6000.email")
    assert every_row(db) == before


@pytest.mark.postgresql
def test_import_users_at_once_gives_each_e_mail_to_one_file(
    client_of: Callable[[User], TestClient], admin: User, db: Session
) -> None:
    def call(number: int) -> Any:
        client = client_of(admin)
        content = csv_of("email", ["shared@example.com", f"own{number}@example.com"])
        return lambda: send(client, content)

    responses = at_once([call(number) for number in range(4)])

    assert statuses(responses) == {200: 1, 409: 3}
    assert count_users(db) == 3


@pytest.mark.postgresql
def test_import_users_in_line_hold_up_nobody_else(
    client_of: Callable[[User], TestClient], as_admin: TestClient, admin: User, db: Session
) -> None:
    ann = User(email="ann@example.com", username="ann", role=Role.USER)
    clients = [client_of(admin) for _ in range(get_settings().DB_POOL_SIZE + 2)]
    content = csv_of("email", [ann.email])

    with unit_of_work() as other, ThreadPoolExecutor(len(clients)) as threads:
        other.add(ann)
        other.flush()
        answers = [threads.submit(send, client, content) for client in clients]
        wait_until_somebody_waits_for_a_lock(db)
        response = as_admin.get("/api/v1/users/me")
        waiting = [answer for answer in answers if not answer.done()]
        other.rollback()

    assert response.status_code == 200
    assert len(waiting) == len(clients)
    assert statuses([one.result() for one in answers]) == {200: 1, 409: len(clients) - 1}


def test_import_users_costs_as_many_statements_for_a_thousand_rows_as_for_ten(
    as_admin: TestClient, statements: list[str], db: Session
) -> None:
    def rows(count: int, name: str) -> list[str]:
        return [f"u{number}@example.com,{name}" for number in range(count)]

    counts = []
    for count, name in ((10, "A"), (1000, "A"), (10, "B"), (1000, "C")):
        statements.clear()
        content = csv_of("email,department", rows(count, name))
        assert send(as_admin, content, on_conflict="update").status_code == 200
        counts.append(len(statements))

    assert max(counts) < 35
    assert count_users(db) == 1001


def test_get_user_template_gives_the_heading(as_admin: TestClient) -> None:
    response = as_admin.get(f"{URL}/template")

    assert response.text == f"{HEADING}\r\n"
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="users.csv"'
