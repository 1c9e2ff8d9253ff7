"""A department is one, however it is spelled: as a scope, in filters, figures and files."""

import unicodedata
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_usage, make_user

API = "/api/v1"
USERS = f"{API}/users/"
DEPARTMENTS = f"{USERS}departments"
SPELLINGS = [
    "Field Sales",
    "FIELD SALES",
    "field  sales",
    "Field\u00a0Sales",
    "\uff26\uff49\uff45\uff4c\uff44 \uff33\uff41\uff4c\uff45\uff53",
    " field sales ",
    "Field\u00ad Sales",
]
PAIRS = [
    *(("Field Sales", one) for one in SPELLINGS),
    ("Straßenbau", "STRASSENBAU"),
    ("Café", unicodedata.normalize("NFD", "Café")),
    ("Ärger", "äRGER"),
]


@pytest.mark.parametrize(("first", "other"), PAIRS)
def test_manager_sees_their_department_however_it_is_spelled(
    client_of: Callable[[User], TestClient], db: Session, first: str, other: str
) -> None:
    manager = make_user(db, role=Role.MANAGER, department=first)
    colleague = make_user(db, department=other)
    stranger = make_user(db, department="Field Sale")
    for user in (colleague, stranger):
        make_item(db, owner=user)
        make_usage(db, user=user)
    client = client_of(manager)

    assert {one["id"] for one in client.get(USERS).json()} == {manager.id, colleague.id}
    assert [one["owner_id"] for one in client.get(f"{API}/items/").json()] == [colleague.id]
    assert [one["user_id"] for one in client.get(f"{API}/usage/").json()] == [colleague.id]
    assert client.get(f"{USERS}{colleague.id}").status_code == 200
    assert client.get(f"{USERS}{stranger.id}").status_code == 404
    figures = client.get(f"{API}/statistics/overview").json()["users"]["by_department"]
    assert figures == [{"department": first, "users": 2}]


@pytest.mark.parametrize(("first", "other"), PAIRS)
def test_department_is_filtered_by_however_it_is_spelled(
    as_admin: TestClient, db: Session, first: str, other: str
) -> None:
    ids = {make_user(db, department=first).id, make_user(db, department=other).id}
    make_user(db, department="Kitchen")

    found = as_admin.get(USERS, params={"department": other}).json()
    others = as_admin.get(USERS, params={"department_ne": other}).json()

    assert {one["id"] for one in found} == ids
    assert ids.isdisjoint(one["id"] for one in others)
    assert len(others) == 2


@pytest.mark.parametrize(("first", "other"), PAIRS)
def test_new_account_takes_the_spelling_that_is_there(
    as_admin: TestClient, db: Session, first: str, other: str
) -> None:
    make_user(db, department=first)
    moved = [make_user(db, department=one) for one in ("Kitchen", "Kitchen", None)]

    created = as_admin.post(USERS, json={"email": "a@example.com", "department": other})
    bulk = as_admin.post(
        f"{USERS}bulk", json={"items": [{"email": "b@example.com", "department": other}]}
    )
    csv = f"email,department\nc@example.com,{other}\n".encode()
    imported = as_admin.post(f"{USERS}import", files={"file": ("users.csv", csv)})
    patched = as_admin.patch(f"{USERS}{moved[0].id}", json={"department": other})
    changed = as_admin.patch(
        f"{USERS}bulk",
        json={"ids": [moved[1].id, moved[2].id], "changes": {"department": other}},
    )

    for response in (created, bulk, imported, patched, changed):
        assert response.is_success, response.text
    assert {one["department"] for one in as_admin.get(USERS).json()} == {first, None}
    assert as_admin.get(DEPARTMENTS).json() == [first]


def test_import_that_changes_takes_the_spelling_that_is_there(
    as_admin: TestClient, db: Session
) -> None:
    make_user(db, department="Field Sales")
    make_user(db, email="ann@example.com", department="Kitchen")

    response = as_admin.post(
        f"{USERS}import?on_conflict=update",
        files={"file": ("x.csv", b"email,department\nann@example.com,FIELD  sales\n")},
    )

    assert response.status_code == 200, response.text
    assert as_admin.get(DEPARTMENTS).json() == ["Field Sales"]


def test_first_of_many_spells_a_new_department(as_admin: TestClient) -> None:
    rows = [{"email": f"{n}@example.com", "department": one} for n, one in enumerate(SPELLINGS)]

    response = as_admin.post(f"{USERS}bulk", json={"items": rows})

    assert {one["department"] for one in response.json()} == {"Field Sales"}


def test_spelling_is_corrected_where_all_are_changed(as_admin: TestClient, db: Session) -> None:
    people = [make_user(db, department="it") for _ in range(3)]

    one = as_admin.patch(f"{USERS}{people[0].id}", json={"department": "IT"})
    everyone = as_admin.patch(
        f"{USERS}bulk", json={"filter": {"department": "IT"}, "changes": {"department": "IT"}}
    )

    assert one.json()["department"] == "it"
    assert {record["department"] for record in everyone.json()} == {"IT"}
    assert as_admin.get(DEPARTMENTS).json() == ["IT"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_manager_creates_and_changes_in_their_department_however_it_is_spelled(
    client_of: Callable[[User], TestClient], db: Session, spelling: str
) -> None:
    client = client_of(make_user(db, role=Role.MANAGER, department="Field Sales"))
    colleague = make_user(db, department="field sales")

    created = client.post(USERS, json={"email": "new@example.com", "department": spelling})
    changed = client.patch(f"{USERS}{colleague.id}", json={"department": spelling})
    own = client.patch(f"{USERS}me", json={"department": spelling})
    refused = client.post(USERS, json={"email": "x@example.com", "department": "Field"})
    moved = client.patch(f"{USERS}{colleague.id}", json={"department": "Field"})

    assert created.status_code == 201, created.text
    assert created.json()["department"] == "Field Sales"
    assert changed.status_code == own.status_code == 200
    assert_error(refused, 403, "FIELDS_NOT_PERMITTED", "department")
    assert_error(moved, 403, "FIELDS_NOT_PERMITTED", "department")


@pytest.mark.parametrize("blank", ["", " ", "\u200d"])
def test_manager_of_a_blank_department_sees_only_themself(
    client_of: Callable[[User], TestClient], db: Session, blank: str
) -> None:
    """As an older release may have left it."""
    manager = make_user(db, role=Role.MANAGER, department=blank)
    make_user(db, department=blank)

    client = client_of(manager)

    assert [one["id"] for one in client.get(USERS).json()] == [manager.id]
    assert client.get(DEPARTMENTS).json() == []
    assert_error(client.post(USERS, json={"email": "a@example.com"}), 403, "PERMISSION_DENIED")


# --- Suggestions


def test_get_departments_suggests_each_once_by_name(as_admin: TestClient, db: Session) -> None:
    for department in ("kitchen", "Sales", "SALES", "Ärger", "archive", None, "", "Kitchen"):
        make_user(db, department=department)
    make_user(db, department="Gone", deleted_at=utc_now())

    response = as_admin.get(DEPARTMENTS)

    assert response.json() == ["archive", "kitchen", "Sales", "Ärger"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"q": "ITCH"}, ["Kitchen"]),
        ({"q": " sal "}, ["Presales", "Sales"]),
        ({"q": "ÄRGER"}, ["ärger 100%"]),
        ({"q": "%"}, ["ärger 100%"]),
        ({"q": "_"}, []),
        ({"q": ""}, ["Kitchen", "Presales", "Sales", "ärger 100%"]),
        ({"limit": 2}, ["Kitchen", "Presales"]),
        ({"q": "sales", "limit": 1}, ["Presales"]),
    ],
)
def test_get_departments_narrows_them(
    as_admin: TestClient, db: Session, asked: dict[str, str], expected: list[str]
) -> None:
    for department in ("Sales", "Kitchen", "Presales", "ärger 100%"):
        make_user(db, department=department)

    assert as_admin.get(DEPARTMENTS, params=asked).json() == expected


@pytest.mark.parametrize(
    "asked", [{"limit": "0"}, {"limit": "1.0"}, {"q": "a\0"}, {"limit": "1001"}]
)
def test_get_departments_refuses_what_it_cannot_read(
    as_admin: TestClient, asked: dict[str, str]
) -> None:
    assert_error(as_admin.get(DEPARTMENTS, params=asked), 422, "INVALID_REQUEST", *asked)


def test_get_departments_keeps_to_ones_scope(
    as_manager: TestClient, as_auditor: TestClient, as_user: TestClient, db: Session
) -> None:
    make_user(db, department="Kitchen")

    assert as_manager.get(DEPARTMENTS).json() == ["Sales"]
    assert as_auditor.get(DEPARTMENTS).json() == ["Kitchen", "Sales"]
    assert as_user.get(DEPARTMENTS).status_code == 403
