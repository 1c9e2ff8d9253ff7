"""What a text may hold, wherever it comes in; and that what an older release let in may stay."""

import json
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import AuditEvent, Item, UsageEvent, User
from tests.assertions import assert_error
from tests.factories import make_item, make_user
from tests.settings import changed_settings

API = "/api/v1"
PASSWORD = "wallpaper-on-tuesday"
# Control characters, line breaks, overrides of direction, blanks of no width.
HIDDEN = [
    "\x07",
    "\x1f",
    "\t",
    "\n",
    "\r\n",
    "\v",
    "\f",
    "\x7f",
    "\x85",
    "\x9f",
    "\u2028",
    "\u2029",
]
HIDDEN += ["\u202a", "\u202e", "\u2066", "\u2069", "\u206a", "\u200b", "\u2060", "\ufeff", "\ufffa"]
SHOWN = [
    "\u0645\u06cc\u200c\u062e\u0648",
    "👩\u200d💻",
    "क्\u200dष",
    "שלום\u200e!",
    "👍🏽",
    "🏴\U000e0067\U000e007f",
    "co\u00adop",
]
INVISIBLE = [
    "\u200d",
    "\u00ad",
    "\u00ad\u200c \u200d",
    "\u3164",
    "\u115f\u1160",
    "\uffa0",
    "\u2800",
]
INVISIBLE += ["\ufe0f", "\U000e0041", "\u034f", "\u00a0\u3000", "\u180e", "\u200e"]

every_hidden = pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
every_invisible = pytest.mark.parametrize("text", ["", "  ", *INVISIBLE], ids=ascii)


@pytest.fixture
def open_registration() -> Iterator[None]:
    with changed_settings(OPEN_REGISTRATION="true"):
        yield


def send_file(client: TestClient, path: str, rows: list[dict[str, Any]], **query: str) -> Response:
    content = "\n".join(json.dumps(row) for row in rows)
    files = {"file": ("rows.jsonl", content.encode(), "application/x-ndjson")}
    return client.post(f"{API}{path}", files=files, params=query)


# --- Texts of one line.


@every_hidden
def test_text_of_one_line_refuses_hidden_characters_on_every_way_in(
    as_admin: TestClient, as_user: TestClient, db: Session, user: User, hidden: str
) -> None:
    item = make_item(db, owner=user, title="Lamp")
    text = f"Ann{hidden}Lee"
    email = {"email": "new@example.com"}
    name = {"full_name": text, "department": text, "username": text}
    update, me = f"{API}/users/{user.id}", f"{API}/users/me"
    both = ["full_name", "department"]
    user_id, item_id = user.id, item.id

    for method, url, body, fields in [
        ("POST", f"{API}/users/", email | name, list(name)),
        ("PATCH", update, name, list(name)),
        ("PUT", update, name, list(name)),
        ("POST", f"{API}/users/bulk", {"items": [email | name]}, [f"items.0.{n}" for n in name]),
        (
            "PATCH",
            f"{API}/users/bulk",
            {"ids": [user_id], "changes": dict.fromkeys(both, text)},
            [f"changes.{one}" for one in both],
        ),
        ("POST", f"{API}/items/", {"title": text}, ["title"]),
        ("PUT", f"{API}/items/{item_id}", {"title": text}, ["title"]),
        ("POST", f"{API}/items/bulk", {"items": [{"title": text}]}, ["items.0.title"]),
        (
            "PATCH",
            f"{API}/items/bulk",
            {"ids": [item_id], "changes": {"title": text}},
            ["changes.title"],
        ),
        ("POST", f"{API}/usage/", {"tokens": 1, "kind": text}, ["kind"]),
    ]:
        response = as_admin.request(method, url, json=body)
        assert_error(response, 422, "INVALID_REQUEST", *fields)
    assert_error(as_user.patch(me, json={"full_name": text}), 422, "INVALID_REQUEST", "full_name")
    rows = [email | {"full_name": text, "department": text}]
    response = send_file(as_admin, "/users/import", rows)
    assert_error(response, 422, "INVALID_REQUEST", "rows.0.full_name", "rows.0.department")
    response = send_file(as_admin, "/items/import", [{"title": text}])
    assert_error(response, 422, "INVALID_REQUEST", "rows.0.title")


@every_hidden
@pytest.mark.usefixtures("open_registration")
def test_register_refuses_hidden_characters(anonymous: TestClient, hidden: str) -> None:
    names = {"username": f"ann{hidden}lee", "full_name": f"Ann{hidden}Lee"}
    body = {"email": f"ann{hidden}@example.com", "password": PASSWORD, **names}

    response = anonymous.post(f"{API}/auth/register", json=body)

    assert_error(response, 422, "INVALID_REQUEST", "email", *names)


@pytest.mark.parametrize("text", SHOWN, ids=ascii)
def test_text_of_one_line_takes_what_scripts_and_emoji_need(
    as_admin: TestClient, text: str
) -> None:
    item = as_admin.post(f"{API}/items/", json={"title": text})
    user = as_admin.post(f"{API}/users/", json={"email": "ann@example.com", "full_name": text})

    assert (item.json()["title"], user.json()["full_name"]) == (text, text)


@pytest.mark.parametrize("text", ["a\nb", "a\r\n\tb\n", " a ", "👩\u200d💻\u200b"], ids=ascii)
def test_text_of_several_lines_is_taken_to_the_letter(as_admin: TestClient, text: str) -> None:
    item = as_admin.post(f"{API}/items/", json={"title": "Lamp", "description": text})
    used = as_admin.post(f"{API}/usage/", json={"tokens": 1, "kind": "x", "note": text})

    assert (item.json()["description"], used.json()["note"]) == (text, text)


@pytest.mark.parametrize(
    "hidden", ["\x07", "\v", "\f", "\x7f", "\x85", "\u202e", "\u2066"], ids=ascii
)
def test_text_of_several_lines_refuses_other_controls(as_admin: TestClient, hidden: str) -> None:
    text = f"a{hidden}b"

    item = as_admin.post(f"{API}/items/", json={"title": "Lamp", "description": text})
    used = as_admin.post(f"{API}/usage/", json={"tokens": 1, "kind": "x", "note": text})

    assert_error(item, 422, "INVALID_REQUEST", "description")
    assert_error(used, 422, "INVALID_REQUEST", "note")


# --- Empty texts, and those of which nothing shows.


@every_invisible
def test_required_text_of_which_nothing_shows_is_refused(
    as_admin: TestClient, db: Session, admin: User, text: str
) -> None:
    item = make_item(db, owner=admin, title="Lamp")

    for method, url, body, field in [
        ("POST", "/items/", {"title": text}, "title"),
        ("PATCH", f"/items/{item.id}", {"title": text}, "title"),
        ("POST", "/items/bulk", {"items": [{"title": text}]}, "items.0.title"),
        ("PATCH", "/items/bulk", {"ids": [item.id], "changes": {"title": text}}, "changes.title"),
        ("POST", "/usage/", {"tokens": 1, "kind": text}, "kind"),
        ("PATCH", f"/users/{admin.id}", {"username": text}, "username"),
        ("PATCH", f"/users/{admin.id}", {"email": text}, "email"),
    ]:
        response = as_admin.request(method, f"{API}{url}", json=body)
        assert_error(response, 422, "INVALID_REQUEST", field)
    response = send_file(as_admin, "/items/import", [{"title": text}])
    assert_error(response, 422, "INVALID_REQUEST", "rows.0.title")


@every_invisible
def test_optional_text_of_which_nothing_shows_is_null(
    as_admin: TestClient, db: Session, text: str
) -> None:
    names = {"full_name": text, "department": text}
    body = {"email": "ann@example.com", **names}

    created = as_admin.post(f"{API}/users/", json=body | {"username": text}).json()
    bulk = {"items": [{"email": "bob@example.com", "username": text, **names}]}
    (of_many,) = as_admin.post(f"{API}/users/bulk", json=bulk).json()
    send_file(as_admin, "/users/import", [{"email": "cy@example.com", "username": text, **names}])

    imported = db.scalars(select(User).where(User.email == "cy@example.com")).one()
    assert (created["username"], of_many["username"], imported.username) == ("ann", "bob", "cy_")
    found = [(one["full_name"], one["department"]) for one in (created, of_many)]
    assert [*found, (imported.full_name, imported.department)] == [(None, None)] * 3


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@every_invisible
def test_update_clears_an_optional_text_of_which_nothing_shows(
    as_admin: TestClient, db: Session, method: str, text: str
) -> None:
    ann = make_user(db, full_name="Ann Lee", department="Sales")
    bob = make_user(db, full_name="Bob Lee", department="Sales")
    body = {"full_name": text, "department": text}

    one = as_admin.request(method, f"{API}/users/{ann.id}", json=body)
    many = as_admin.patch(f"{API}/users/bulk", json={"ids": [bob.id], "changes": body})

    cleared = [one.json(), *many.json()]
    assert [(user["full_name"], user["department"]) for user in cleared] == [(None, None)] * 2


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_update_clears_a_text_of_several_lines_by_an_empty_one(
    as_admin: TestClient, admin: User, db: Session, method: str
) -> None:
    item, other = (make_item(db, owner=admin, description="Brass") for _ in range(2))
    body = {"description": ""}

    one = as_admin.request(method, f"{API}/items/{item.id}", json=body)
    many = as_admin.patch(f"{API}/items/bulk", json={"ids": [other.id], "changes": body})
    new = as_admin.post(f"{API}/items/", json={"title": "Lamp"} | body)

    assert one.json()["description"] is None
    assert [found["description"] for found in many.json()] == [None]
    assert new.json()["description"] is None
    used = as_admin.post(f"{API}/usage/", json={"tokens": 1, "kind": "x", "note": ""})
    assert used.json()["note"] is None


@pytest.mark.parametrize("value", ["", None])
def test_update_with_an_empty_password_changes_none(
    as_admin: TestClient, client_of: Callable[[User], TestClient], db: Session, value: str | None
) -> None:
    ann = make_user(db, password=PASSWORD)
    stored = ann.hashed_password
    body = {"password": value, "current_password": value, "full_name": "Ann"}

    for client, url in [
        (as_admin, f"{API}/users/{ann.id}"),
        (client_of(ann), f"{API}/users/me"),
        (client_of(ann), f"{API}/users/{ann.id}"),
    ]:
        for method in ("PATCH", "PUT"):
            response = client.request(method, url, json=body)
            assert response.status_code == 200, response.text

    db.refresh(ann)
    assert (ann.hashed_password, ann.full_name, ann.version) == (stored, "Ann", 2)


@pytest.mark.parametrize("value", ["", None])
def test_create_user_with_an_empty_password_invites(
    as_admin: TestClient, db: Session, value: str | None
) -> None:
    one = as_admin.post(f"{API}/users/", json={"email": "ann@example.com", "password": value})
    body = {"items": [{"email": "bob@example.com", "password": value}]}
    many = as_admin.post(f"{API}/users/bulk", json=body)

    assert (one.status_code, many.status_code) == (201, 201)
    made = db.scalars(select(User.hashed_password).where(User.email.startswith("ann@"))).all()
    assert made == [None]


# --- Trimming, and the one form of names.


@pytest.mark.parametrize("blank", [" ", "  ", "\u00a0", "\u3000", "\u2003 "], ids=ascii)
@pytest.mark.usefixtures("open_registration")
def test_texts_are_trimmed_wherever_they_come_in(
    as_admin: TestClient, anonymous: TestClient, db: Session, blank: str
) -> None:
    def around(text: str) -> str:
        return f"{blank}{text}{blank}"

    named = {"full_name": around("Ann Lee"), "department": around("Sales")}
    body = {"email": around("ann@example.com"), "username": around("ann"), **named}
    ann = as_admin.post(f"{API}/users/", json=body | {"password": PASSWORD}).json()
    assert (ann["email"], ann["username"]) == ("ann@example.com", "ann")
    assert (ann["full_name"], ann["department"]) == ("Ann Lee", "Sales")
    for name in ("ann@example.com", "Ann"):
        form = {"username": around(name), "password": PASSWORD}
        assert anonymous.post(f"{API}/auth/login", data=form).status_code == 200
        wrong = form | {"password": around(PASSWORD)}
        assert anonymous.post(f"{API}/auth/login", data=wrong).status_code == 401
    url = f"{API}/users/{ann['id']}"
    assert as_admin.put(url, json=body).json()["version"] == ann["version"]
    assert as_admin.patch(url, json={"email": around("a@b.org")}).json()["email"] == "a@b.org"
    item = as_admin.post(f"{API}/items/", json={"title": around("Lamp")}).json()
    assert item["title"] == "Lamp"
    row = {"email": around("bob@example.com"), "full_name": around("Bob")}
    assert send_file(as_admin, "/users/import", [row]).json()["created"] == 1
    register = {"email": around("cy@example.com"), "password": PASSWORD, "username": around("cyy")}
    assert anonymous.post(f"{API}/auth/register", json=register).status_code == 201
    assert db.scalars(select(User.email).where(User.username == "cyy")).all() == ["cy@example.com"]
    for path in ("/auth/password/forgot", "/auth/email/verify"):
        response = anonymous.post(f"{API}{path}", json={"email": around("bob@example.com")})
        assert response.status_code == 202
    asked = select(AuditEvent.resource_id).where(AuditEvent.action == "password_reset_requested")
    assert db.scalars(asked).all() != [None]


@pytest.mark.parametrize(
    ("there", "given"),
    [
        ({"username": "annlee"}, {"username": "AnnLee"}),
        ({"username": "annlee"}, {"username": "\uff21\uff4e\uff4eLee"}),
        ({"username": "kim"}, {"username": "\u212aim"}),
        ({"username": "fish"}, {"username": "\ufb01sh "}),
        ({"email": "ann@example.com"}, {"email": "ANN@Example.com"}),
        ({"email": "ann@example.com"}, {"email": "\uff41nn\uff20example\uff0ecom"}),
        ({"email": "ann@xn--mnchen-3ya.example"}, {"email": "ann@MÜNCHEN.example"}),
        ({"email": "ann@xn--mnchen-3ya.example"}, {"email": "ann@mu\u0308nchen.example"}),
    ],
    ids=ascii,
)
def test_names_that_differ_by_form_or_case_are_one(
    as_admin: TestClient,
    anonymous: TestClient,
    db: Session,
    there: dict[str, str],
    given: dict[str, str],
) -> None:
    make_user(db, password=PASSWORD, **there)
    other = make_user(db)
    ((field, name),) = given.items()
    code = {"email": "EMAIL_TAKEN", "username": "USERNAME_TAKEN"}[field]
    new = {"email": "new@example.com"} | given

    created = as_admin.post(f"{API}/users/", json=new)
    changed = as_admin.patch(f"{API}/users/{other.id}", json=given)
    bulk = as_admin.post(f"{API}/users/bulk", json={"items": [new]})
    imported = send_file(as_admin, "/users/import", [new])
    login = anonymous.post(f"{API}/auth/login", data={"username": name, "password": PASSWORD})

    assert_error(created, 409, code, field)
    assert_error(changed, 409, code, field)
    assert_error(bulk, 409, code, f"items.0.{field}")
    assert_error(imported, 409, code, f"rows.0.{field}")
    assert login.status_code == 200


# --- Choices in files.


@pytest.mark.parametrize("status", ["Draft", " draft ", "DRAFT", "\u00a0Draft", "\uff24raft"])
def test_import_reads_choices_without_regard_to_case(as_admin: TestClient, status: str) -> None:
    response = send_file(as_admin, "/items/import", [{"title": "Lamp", "status": status}])

    assert response.json() == {"created": 1, "updated": 0, "skipped": 0, "kind": "import"}


@pytest.mark.parametrize(
    ("active", "is_active"), [("TRUE", True), (" False ", False), ("Yes", True)]
)
def test_import_reads_roles_and_yes_or_no_trimmed(
    as_admin: TestClient, db: Session, active: str, is_active: bool
) -> None:
    content = f"email,role,is_active,token_quota\nann@example.com, Manager ,{active}, 7 \n"
    files = {"file": ("rows.csv", content.encode(), "text/csv")}

    response = as_admin.post(f"{API}/users/import", files=files)

    assert response.status_code == 200, response.text
    ann = db.scalars(select(User).where(User.email == "ann@example.com")).one()
    assert (ann.role, ann.is_active, ann.token_quota) == ("manager", is_active, 7)


# --- E-mail and user name both taken.


@pytest.mark.parametrize("first", ["email", "username"])
def test_of_an_e_mail_and_a_user_name_both_taken_the_e_mail_is_told(
    as_admin: TestClient, db: Session, first: str, indexes_in_order: Callable[[str], None]
) -> None:
    indexes_in_order(first)
    taken = {"email": "ann@example.com", "username": "annlee"}
    make_user(db, **taken)
    other = make_user(db)
    deleted = make_user(db, deleted_at=other.created_at, **taken)

    for method, url, body, fields in [
        ("POST", "/users/", taken, ["email"]),
        ("PATCH", f"/users/{other.id}", taken, ["email"]),
        ("POST", f"/users/{deleted.id}/restore", None, []),
        ("POST", "/users/bulk/restore", {"ids": [deleted.id]}, ["ids.0"]),
    ]:
        response = as_admin.request(method, f"{API}{url}", json=body)
        assert_error(response, 409, "EMAIL_TAKEN", *fields)
    response = as_admin.patch(f"{API}/users/{other.id}", json={"username": "annlee"})
    assert_error(response, 409, "USERNAME_TAKEN", "username")
    response = as_admin.post(f"{API}/users/", json=taken | {"email": "new@example.com"})
    assert_error(response, 409, "USERNAME_TAKEN", "username")
    db.refresh(other)
    assert (other.username, other.version) != ("annlee", 2)


@pytest.fixture
def indexes_in_order(db: Session) -> Iterator[Callable[[str], None]]:
    """Make the unique indexes anew, this one first: databases look into them in their order."""
    indexes = {
        name: next(index for index in User.metadata.tables["users"].indexes if index.name == name)
        for name in ("uq_users_email", "uq_users_username")
    }

    def make(first: str) -> None:
        names = sorted(indexes, key=lambda name: name != f"uq_users_{first}")
        for name in names:
            indexes[name].drop(db.connection())
        for name in names:
            indexes[name].create(db.connection())

    yield make
    make("email")


# --- What an older release has left.

DECOMPOSED = unicodedata.normalize("NFD", "José")
OF_USERS: list[dict[str, Any]] = [
    {"full_name": "Ann\x07Lee"},
    {"full_name": "Ann\nLee", "department": "Sales\u202e"},
    {"full_name": DECOMPOSED},
    {"full_name": ""},
    {"full_name": " Ann "},
    {"full_name": "\u200d"},
    {"full_name": "x" * 100, "username": "josé lee"},
    {"username": "An\u200bn"},
    {"role": "user", "token_quota": -1},
]
OF_ITEMS: list[dict[str, Any]] = [
    {"title": "La\x07mp"},
    {"title": "Lamp\u2028", "description": "a\x01b"},
    {"title": DECOMPOSED, "description": ""},
    {"title": "\u200d"},
    {"title": " Lamp "},
    {"title": "", "description": "\u202e"},
    {"title": "Lamp", "status": "gone"},
]
OLD_USERS = pytest.mark.parametrize("old", OF_USERS, ids=ascii)
OLD_ITEMS = pytest.mark.parametrize("old", OF_ITEMS[:-1], ids=ascii)


@OLD_USERS
@pytest.mark.parametrize("who", ["admin", "manager", "themself", "me"])
def test_user_as_an_older_release_left_them_is_sent_back_whole(
    client_of: Callable[[User], TestClient], db: Session, old: dict[str, Any], who: str
) -> None:
    ann = make_user(db, **{"department": "Sales"} | old)
    others = {"admin": Role.ADMIN, "manager": Role.MANAGER}
    boss = make_user(db, role=others.get(who, Role.USER), department=ann.department)
    client = client_of(boss if who in others else ann)
    url = f"{API}/users/{'me' if who == 'me' else ann.id}"
    read = client.get(url)
    etag = {"If-Match": read.headers["etag"]}
    row = read.json()

    for method in ("PUT", "PATCH"):
        response = client.request(method, url, json=row, headers=etag)
        assert (response.status_code, response.json()) == (200, row), response.text
    changed = client.put(url, json=row | {"username": "annabel"})

    assert changed.status_code == 200, changed.text
    assert changed.json()["username"] == "annabel"
    kept = {"username", "updated_at", "version"}
    assert {k: v for k, v in changed.json().items() if k not in kept} == {
        k: v for k, v in row.items() if k not in kept
    }


@OLD_ITEMS
def test_item_as_an_older_release_left_it_is_sent_back_whole(
    as_user: TestClient, user: User, db: Session, old: dict[str, Any]
) -> None:
    url = f"{API}/items/{make_item(db, owner=user, **old).id}"
    row = as_user.get(url).json()

    for method in ("PUT", "PATCH"):
        response = as_user.request(method, url, json=row)
        assert (response.status_code, response.json()) == (200, row), response.text
    changed = as_user.put(url, json=row | {"status": "active"})

    assert (changed.status_code, changed.json()["status"]) == (200, "active")
    assert [one["title"] for one in as_user.get(f"{API}/items/").json()] == [row["title"]]


@pytest.mark.parametrize(
    "wrong",
    [{"title": "De\x07sk"}, {"title": "\u200d"}, {"description": "a\x02b"}, {"status": "x"}],
)
def test_item_as_an_older_release_left_it_takes_no_other_refused_value(
    as_user: TestClient, user: User, db: Session, wrong: dict[str, str]
) -> None:
    item = make_item(db, owner=user, title="La\x07mp", description="a\x01b")
    url = f"{API}/items/{item.id}"
    row = as_user.get(url).json()

    response = as_user.put(url, json=row | wrong)

    assert_error(response, 422, "INVALID_REQUEST", *wrong)
    (field,) = wrong
    assert response.json()["detail"].startswith(f"{field}: ")
    assert as_user.get(url).json() == row


def test_user_as_an_older_release_left_them_is_still_told_what_is_privileged(
    as_user: TestClient, user: User, db: Session
) -> None:
    user.department = "Sa\x07les"
    db.commit()
    row = as_user.get(f"{API}/users/me").json()

    refused = as_user.put(f"{API}/users/me", json=row | {"role": "admin"})
    hidden = as_user.put(f"{API}/users/me", json=row | {"department": "Kit\x07chen"})

    assert_error(refused, 403, "FIELDS_NOT_PERMITTED", "role")
    assert_error(hidden, 422, "INVALID_REQUEST", "department")


@OLD_ITEMS
@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_items_as_an_older_release_left_them_are_imported_unchanged(
    as_user: TestClient, user: User, db: Session, old: dict[str, Any], file_format: str
) -> None:
    item = make_item(db, owner=user, **old)
    query = {"format": file_format, "columns": "importable"}
    content = as_user.get(f"{API}/items/export", params=query).text
    if file_format == "csv":
        heading, rest = content.split("\n", 1)
        content = f"id,{heading}\n{item.id},{rest}"
    else:
        content = json.dumps({"id": item.id} | json.loads(content))
    files = {"file": (f"items.{file_format}", content.encode(), "text/plain")}
    query = {"on_conflict": "update", "format": file_format}

    response = as_user.post(f"{API}/items/import", files=files, params=query)

    assert response.json() == {"created": 0, "updated": 0, "skipped": 1, "kind": "import"}, (
        response.text
    )
    db.refresh(item)
    assert (item.version, item.title) == (1, old["title"])


@OLD_USERS
@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_users_as_an_older_release_left_them_are_imported_unchanged(
    as_admin: TestClient, db: Session, old: dict[str, Any], file_format: str
) -> None:
    ann = make_user(db, **{"department": "Sales"} | old)
    query = {"format": file_format, "columns": "importable", "id": str(ann.id)}
    content = as_admin.get(f"{API}/users/export", params=query).content
    files = {"file": (f"users.{file_format}", content, "text/plain")}
    query = {"on_conflict": "update", "format": file_format}

    response = as_admin.post(f"{API}/users/import", files=files, params=query)

    assert response.json() == {"created": 0, "updated": 0, "skipped": 1, "kind": "import"}, (
        response.text
    )
    db.refresh(ann)
    assert ann.version == 1


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "xlsx"])
def test_users_with_an_e_mail_of_an_older_release_are_imported_unchanged(
    as_admin: TestClient, db: Session, file_format: str
) -> None:
    ann = make_user(db, email="an\x01n\x85@example.com", full_name="Ann\x07Lee")
    query = {"format": file_format, "columns": "importable", "id": str(ann.id)}
    content = as_admin.get(f"{API}/users/export", params=query).content
    files = {"file": (f"users.{file_format}", content, "text/plain")}
    query = {"on_conflict": "update", "format": file_format}

    response = as_admin.post(f"{API}/users/import", files=files, params=query)

    assert response.json() == {"created": 0, "updated": 0, "skipped": 1, "kind": "import"}, (
        response.text
    )
    db.refresh(ann)
    assert (ann.version, ann.email) == (1, "an\x01n\x85@example.com")


@pytest.mark.parametrize("kind", ["users", "items"])
def test_bulk_takes_the_value_that_all_have_from_an_older_release(
    as_admin: TestClient, admin: User, db: Session, kind: str
) -> None:
    field = "full_name" if kind == "users" else "title"

    def make(text: str) -> User | Item:
        values = {field: text}
        return make_user(db, **values) if kind == "users" else make_item(db, owner=admin, **values)

    ann, bob, eve = make("Ann\x07"), make("Ann\x07"), make("Eve")

    def change(*records: User | Item, **changes: str) -> Response:
        body = {"ids": [record.id for record in records], "changes": changes}
        return as_admin.patch(f"{API}/{kind}/bulk", json=body)

    kept = change(ann, bob, **{field: "Ann\x07"})
    refused = change(ann, bob, eve, **{field: "Ann\x07"})
    other = change(ann, bob, **{field: "Ann\x08"})
    unknown = change(ann, **{field: "Ann\x07", "colour": "red"})

    assert kept.status_code == 200, kept.text
    assert [(one[field], one["version"]) for one in kept.json()] == [("Ann\x07", 1)] * 2
    for response in (refused, other):
        assert_error(response, 422, "INVALID_REQUEST", f"changes.{field}")
    assert_error(unknown, 422, "INVALID_REQUEST", "changes.colour")
    assert eve.version == 1


@pytest.mark.parametrize("on_conflict", ["error", "update"])
def test_import_refuses_what_is_no_present_value(
    as_admin: TestClient, admin: User, db: Session, on_conflict: str
) -> None:
    item = make_item(db, owner=admin, title="La\x07mp")
    rows: list[dict[str, Any]] = [
        {"id": item.id, "title": "De\x07sk"},
        {"title": "La\x07mp"},
        {"id": 999_999, "title": "La\x07mp"},
    ]

    response = send_file(as_admin, "/items/import", rows, on_conflict=on_conflict)

    fields = [f"rows.{index}.title" for index in range(3)]
    assert_error(response, 422, "INVALID_REQUEST", *fields)
    assert db.scalars(select(Item.version)).all() == [1]


def test_usage_as_an_older_release_left_it_is_read(
    as_user: TestClient, user: User, db: Session
) -> None:
    db.add(UsageEvent(user_id=user.id, tokens=1, kind="a\x07", created_at=user.created_at))
    db.commit()

    assert [one["kind"] for one in as_user.get(f"{API}/usage/").json()] == ["a\x07"]
