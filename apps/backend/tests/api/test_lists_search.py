"""Texts are found and ordered as people read them, alike on every database and in every locale."""

import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.db import migrations
from app.db.session import get_engine
from app.main import create_app
from app.models import Item, User
from tests.assertions import assert_error
from tests.conftest import POSTGRESQL, WORKER
from tests.factories import make_item, make_items, make_letter, make_token, make_usage, make_user
from tests.settings import changed_settings

API = "/api/v1"
ITEMS = f"{API}/items/"
USERS = f"{API}/users/"
NFD = unicodedata.normalize("NFD", "Café")


def titles(client: TestClient, **asked: Any) -> list[str]:
    response = client.get(ITEMS, params={"sort": "id"} | asked)
    assert response.status_code == 200, response.text
    return [record["title"] for record in response.json()]


# --- Search

SAME = [
    ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ("STRASSE", "Straße"),
    ("strasse", "STRAẞE"),
    ("café", NFD),
    (NFD.upper(), "CAFÉ"),
    ("lamp", "\uff2c\uff21\uff2d\uff30"),
    ("\uff4c\uff41\uff4d\uff50", "Lamp"),
    ("office", "Oﬃce"),
    ("ЁЖИК", "ёжик"),
    ("ärger", "ÄRGER"),
    ("カフェ", "ｶﾌｪ"),
    ("10 km²", "10 KM2"),
    ("desk lamp", "desk\u00a0lamp"),
    ("desklamp", "desk\u00adlamp"),
    ("می‌خواهم", "میخواهم"),
]


@pytest.mark.parametrize(("typed", "stored"), SAME)
def test_search_finds_what_looks_the_same(
    as_admin: TestClient, db: Session, admin: User, typed: str, stored: str
) -> None:
    make_item(db, owner=admin, title="Something else")
    make_item(db, owner=admin, title=f"The {stored}")
    make_item(db, owner=admin, title="Third", description=f"a\n{stored}\tb")

    assert titles(as_admin, q=typed) == [f"The {stored}", "Third"]
    assert titles(as_admin, title_like=typed) == [f"The {stored}"]
    assert titles(as_admin, description_like=typed) == ["Third"]


def test_search_finds_what_requests_have_written(as_admin: TestClient) -> None:
    made = as_admin.post(ITEMS, json={"title": "ΣΊΣΥΦΟΣ"}).json()
    bulk = as_admin.post(
        f"{ITEMS}bulk", json={"items": [{"title": f"Café {n}"} for n in range(60)]}
    )
    assert bulk.status_code == 201
    assert titles(as_admin, q="σίσυφος") == ["ΣΊΣΥΦΟΣ"]
    assert len(titles(as_admin, q="CAFÉ")) == 60

    as_admin.patch(f"{ITEMS}{made['id']}", json={"title": "Straße"})
    ids = [record["id"] for record in bulk.json()]
    as_admin.patch(f"{ITEMS}bulk", json={"ids": ids, "changes": {"title": "Ärger"}})

    assert titles(as_admin, q="STRASSE") == ["Straße"]
    assert titles(as_admin, q="σίσυφος") == titles(as_admin, q="café") == []
    assert len(titles(as_admin, q="ÄRGER")) == 60


def test_search_finds_what_was_imported_and_reverted(as_admin: TestClient) -> None:
    csv = "title\nStraße\n".encode()
    as_admin.post(f"{ITEMS}import", files={"file": ("items.csv", csv)})
    (record,) = as_admin.get(ITEMS, params={"q": "STRASSE"}).json()
    changed = as_admin.patch(f"{ITEMS}{record['id']}", json={"title": "Weg"})

    as_admin.post(f"{API}/audit/{changed.headers['x-request-id']}/revert")

    assert titles(as_admin, q="STRASSE") == ["Straße"]
    assert titles(as_admin, q="weg") == []


@pytest.mark.parametrize(
    "q", ["lamp desk", "desk lamp", " LAMP  desk ", "lamp\tdesk\nlamp", "amp esk"]
)
def test_search_finds_all_words_in_any_order(
    as_admin: TestClient, db: Session, admin: User, q: str
) -> None:
    make_item(db, owner=admin, title="Desk lamp")
    make_item(db, owner=admin, title="Lamp", description="For a desk")
    make_item(db, owner=admin, title="Desk")
    make_item(db, owner=admin, title="Lamp")

    assert titles(as_admin, q=q) == ["Desk lamp", "Lamp"]
    assert titles(as_admin, filter=f'{{"q": "{q.strip().split()[0]}"}}') != []


@pytest.mark.parametrize("q", ["", " ", "\t\n", "\u00a0", "\u3000", "\u200d", "\u00ad \u2060"])
def test_search_for_nothing_lists_all(
    as_admin: TestClient, db: Session, admin: User, q: str
) -> None:
    make_items(db, 3, owner=admin)

    response = as_admin.get(ITEMS, params={"q": q})

    assert response.headers["x-total-count"] == "3"


@pytest.mark.parametrize(
    "q", ["100%", "a_b", "a/b", "a\\b", "%", "_", "/", "\\", "'", '"', "a/_%b"]
)
def test_search_takes_every_character_literally(
    as_admin: TestClient, db: Session, admin: User, q: str
) -> None:
    make_item(db, owner=admin, title="Plain words: axb, 1000")
    make_item(db, owner=admin, title=f"It holds {q} itself")

    assert titles(as_admin, q=q) == titles(as_admin, title_like=q) == [f"It holds {q} itself"]


def test_search_takes_a_bounded_number_of_words(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    words = [f"w{number}" for number in range(32)]
    make_item(db, owner=admin, title=" ".join(words))

    assert titles(as_admin, q=" ".join(reversed(words))) == [" ".join(words)]
    assert titles(as_admin, q=" ".join(["w1"] * 60)) == [" ".join(words)]
    refused = as_admin.get(ITEMS, params={"q": " ".join([*words, "more"])})
    assert_error(refused, 422, "INVALID_REQUEST", "q")
    assert "32" in refused.json()["errors"]["q"]


def test_search_finds_in_every_list(as_admin: TestClient, db: Session, admin: User) -> None:
    make_user(db, full_name="Ólafur Straße", department=NFD)
    make_usage(db, user=admin, kind="Übersicht", note="Für ΣΊΣΥΦΟΣ")
    make_letter(db, last_error="550 Empfänger UNBEKANNT")

    searches: list[tuple[str, dict[str, str]]] = [
        ("users", {"q": "CAFÉ ólafur"}),
        ("users", {"full_name_like": "STRASSE"}),
        ("users", {"department_like": "CAF"}),
        ("users", {"email_like": "USER", "full_name_like": " ÓLAFUR "}),
        ("usage", {"q": "σίσυφος ÜBER"}),
        ("usage", {"kind_like": "ÜBERSICHT"}),
        ("usage", {"note_like": "für σίσ"}),
        ("letters", {"q": "EMPFÄNGER unbekannt"}),
        ("letters", {"last_error_like": "EMPFÄNGER  unbekannt"}),
        ("letters", {"recipient_like": "ANN@"}),
    ]
    for path, asked in searches:
        response = as_admin.get(f"{API}/{path}/", params=asked)
        assert response.headers["x-total-count"] == "1", (path, asked)


def test_search_keeps_to_one_statement_for_some_numbers_of_words(
    as_admin: TestClient, db: Session, admin: User, statements: list[str]
) -> None:
    """Words are repeated up to a power of two."""
    make_item(db, owner=admin)

    asked = set()
    for words in ("a b c", "d e f g"):
        statements.clear()
        titles(as_admin, q=words)
        asked.add(next(one for one in statements if "LIKE" in one).count(" LIKE "))
    assert asked == {2 * 4}


# --- Order

WORDS = [
    "apple",
    "Banana",
    "cherry",
    "Éclair",
    "\u00e9clairs",
    "Zebra",
    "zoo",
    "ÄRGER",
    "ärgern",
    "Ωmega",
]
ORDER = [
    "apple",
    "Banana",
    "cherry",
    "Zebra",
    "zoo",
    "ÄRGER",
    "ärgern",
    "Éclair",
    "éclairs",
    "Ωmega",
]


def pages(client: TestClient, path: str, sort: str, field: str) -> Iterator[Any]:
    for skip in range(0, 12, 3):
        response = client.get(path, params={"sort": sort, "limit": 3, "skip": skip})
        yield from (record[field] for record in response.json())


def walk(client: TestClient, path: str, sort: str, field: str) -> Iterator[Any]:
    after: dict[str, str] = {}
    while True:
        response = client.get(path, params={"sort": sort, "limit": "3"} | after)
        assert response.status_code == 200, response.text
        yield from (record[field] for record in response.json())
        if "x-next-cursor" not in response.headers:
            return
        after = {"after": response.headers["x-next-cursor"]}


@pytest.mark.parametrize("way", [pages, walk])
def test_items_are_sorted_by_title_without_regard_to_case(
    as_admin: TestClient, db: Session, admin: User, way: Callable[..., Iterator[Any]]
) -> None:
    for title in WORDS:
        make_item(db, owner=admin, title=title)

    assert list(way(as_admin, ITEMS, "title", "title")) == ORDER
    assert list(way(as_admin, ITEMS, "-title", "title")) == ORDER[::-1]


def test_equal_titles_are_walked_through_once_each(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    same = ["Café", "CAFÉ", NFD, " café"] * 3
    ids = [make_item(db, owner=admin, title=title).id for title in same]

    assert list(walk(as_admin, ITEMS, "title", "id")) == ids
    assert list(walk(as_admin, ITEMS, "-title", "id")) == ids[::-1]


@pytest.mark.parametrize("field", ["full_name", "department"])
def test_users_are_sorted_by_texts_without_regard_to_case(
    as_admin: TestClient, db: Session, field: str
) -> None:
    for word in WORDS:
        make_user(db, **{field: word})

    assert list(pages(as_admin, USERS, field, field)) == [*ORDER, None]
    assert list(pages(as_admin, USERS, f"-{field}", field)) == [*ORDER[::-1], None]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"title_gt": "BANANA"}, ORDER[2:]),
        ({"title_gte": "banana"}, ORDER[1:]),
        ({"title_lt": "cHERRY"}, ORDER[:2]),
        ({"title_lte": "Cherry"}, ORDER[:3]),
        ({"title_gte": "ärger", "title_lt": "ÉCLAIR"}, ["ÄRGER", "ärgern"]),
        ({"title": "banana"}, []),
        ({"title": "Banana"}, ["Banana"]),
        ({"title_ne": "Banana"}, [word for word in ORDER if word != "Banana"]),
    ],
)
def test_comparisons_agree_with_the_order(
    as_admin: TestClient, db: Session, admin: User, asked: dict[str, str], expected: list[str]
) -> None:
    for title in WORDS:
        make_item(db, owner=admin, title=title)

    assert titles(as_admin, sort="title", **asked) == expected


def test_long_texts_are_stored_found_and_walked_through(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    """One character becomes eighteen; a key has 350."""
    title = "\ufdfa" * 19
    for number in range(4):
        response = as_admin.post(ITEMS, json={"title": title[number:]})
        assert response.status_code == 201, response.text

    assert len(titles(as_admin, q="صلى الله")) == 4
    assert len(list(walk(as_admin, ITEMS, "title", "id"))) == 4


def test_rows_written_past_the_application_are_listed_and_walked_through(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    """As another release or a person with SQL writes them: without what is folded."""
    columns = "title, status, owner_id, created_at, updated_at, version"
    for title in ("Zeta", "Alpha", "Mid"):
        make_item(db, owner=admin, title=title)
        row = f"'{title} raw', 'draft', {admin.id}, '2026-01-01', '2026-01-01', 1"
        db.execute(text(f"INSERT INTO items ({columns}) VALUES ({row})"))  # noqa: S608  Our own.

    for sort in ("title", "-title", "id"):
        assert len(set(walk(as_admin, ITEMS, sort, "id"))) == 6
    (raw,) = [one for one in as_admin.get(ITEMS).json() if one["title"] == "Mid raw"]
    assert as_admin.put(f"{ITEMS}{raw['id']}", json=raw).json() == raw
    assert as_admin.patch(f"{ITEMS}{raw['id']}", json={"title": "Mid"}).status_code == 200
    assert titles(as_admin, q="mid") == ["Mid", "Mid"]


# --- Other locales

LOCALES = {
    "icu": "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
    "turkish": "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'",
    "c": "LOCALE 'C'",
}


@pytest.fixture(params=LOCALES)
def as_admin_elsewhere(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """A client of the application over a database of another locale."""
    name = f"backdesk_{request.param}_{WORKER}"
    url = make_url(POSTGRESQL or "").set(drivername="postgresql+psycopg2")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        locale = LOCALES[request.param]
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0 {locale}'))
    server.dispose()
    with changed_settings(
        DATABASE_URL=url.set(database=name).render_as_string(hide_password=False)
    ):
        migrations.migrate()
        with Session(get_engine(), expire_on_commit=False) as db:
            token = make_token(db, user=make_user(db, email="me@example.com", role=Role.ADMIN))
        yield TestClient(create_app(), headers={"Authorization": f"Bearer {token}"})


@pytest.mark.postgresql
def test_no_locale_changes_what_is_found_or_its_order(as_admin_elsewhere: TestClient) -> None:
    client = as_admin_elsewhere
    names = ["a-b", "aab", "a_c", "a.d", "AB.x"]
    for title in WORDS:
        assert client.post(ITEMS, json={"title": title}).status_code == 201
    for name in names:
        made = client.post(USERS, json={"email": f"{name}@example.com", "username": name})
        assert made.status_code == 201

    assert list(walk(client, ITEMS, "title", "title")) == ORDER
    assert titles(client, q="ÉCLAIR") == ["Éclair", "éclairs"]
    assert titles(client, q="BANANA APPLE") == []
    expected = sorted(name.lower() for name in [*names, "me.example.com"])
    assert list(walk(client, USERS, "username", "username")) == expected
    assert list(walk(client, USERS, "email", "username")) == expected
    after = client.get(USERS, params={"username_gt": "a_c", "sort": "username"}).json()
    assert [one["username"] for one in after] == [one for one in expected if one > "a_c"]


def test_factories_write_what_is_folded(db: Session, admin: User) -> None:
    (item_id,) = make_items(db, 1, owner=admin, title="Straße")

    assert db.get_one(Item, item_id).title_folded == "strasse"
