"""Many items at once: the rules that hold for one hold for each."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import Item, User
from tests.assertions import assert_error
from tests.factories import make_item, make_items, make_user
from tests.racing import at_once
from tests.rows import every_row

URL = "/api/v1/items/bulk"
ClientOf = Callable[[User], TestClient]


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Lamp"},
        {"description": "Brass."},
        {"description": None},
        {"status": "active", "title": "Lamp"},
    ],
)
def test_update_items_changes_each_field(
    as_user: TestClient, user: User, db: Session, changes: dict[str, Any]
) -> None:
    items = [make_item(db, owner=user, description="Old.") for _ in range(2)]

    response = as_user.patch(URL, json={"ids": [item.id for item in items], "changes": changes})

    assert response.status_code == 200, response.text
    for item in items:
        db.refresh(item)
        assert {name: getattr(item, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("changes", "blamed"),
    [
        ({"title": ""}, "changes.title"),
        ({"title": None}, "changes.title"),
        ({"status": "lost"}, "changes.status"),
        ({"owner_id": None}, "changes.owner_id"),
        ({"owner_id": "1"}, "changes.owner_id"),
        ({"id": 1}, "changes.id"),
        ({"colour": "red"}, "changes.colour"),
    ],
)
def test_update_items_refuses_what_one_item_refuses(
    as_user: TestClient, user: User, db: Session, changes: dict[str, Any], blamed: str
) -> None:
    item = make_item(db, owner=user)

    response = as_user.patch(URL, json={"ids": [item.id], "changes": changes})

    assert_error(response, 422, "INVALID_REQUEST", blamed)


def test_update_items_moves_a_leavers_items(
    as_manager: TestClient, user: User, db: Session
) -> None:
    heir = make_user(db, department="Sales")
    ids = make_items(db, 5, owner=user)
    body = {"filter": {"owner_id": user.id}, "changes": {"owner_id": heir.id}}

    response = as_manager.patch(URL, json=body)

    assert [record["id"] for record in response.json()] == ids
    assert set(db.scalars(select(Item.owner_id))) == {heir.id}


@pytest.mark.parametrize("who", ["nobody", "a cook", "deleted"])
def test_update_items_gives_to_nobody_whom_one_does_not_see(
    as_manager: TestClient, user: User, db: Session, who: str
) -> None:
    strangers = {
        "nobody": 999_999,
        "a cook": make_user(db, department="Kitchen").id,
        "deleted": make_user(db, department="Sales", deleted_at=utc_now()).id,
    }
    ids = make_items(db, 2, owner=user)
    before = every_row(db)

    body = {"ids": ids, "changes": {"owner_id": strangers[who], "title": "Lamp"}}
    response = as_manager.patch(URL, json=body)

    assert_error(response, 409, "OWNER_NOT_FOUND", "ids.0.owner_id", "ids.1.owner_id")
    assert every_row(db) == before


def test_update_items_gives_nothing_away_without_the_permission(
    as_user: TestClient, user: User, manager: User, db: Session
) -> None:
    ids = make_items(db, 2, owner=user)

    response = as_user.patch(URL, json={"ids": ids, "changes": {"owner_id": manager.id}})
    kept = as_user.patch(URL, json={"ids": ids, "changes": {"owner_id": user.id, "title": "A"}})

    assert_error(response, 403, "OWNER_NOT_PERMITTED", "ids.0.owner_id", "ids.1.owner_id")
    assert kept.status_code == 200


@pytest.mark.parametrize("deed", ["update", "delete", "restore"])
def test_bulk_reaches_nobody_elses_items(
    as_user: TestClient, user: User, db: Session, deed: str
) -> None:
    values = {"deleted_at": utc_now()} if deed == "restore" else {}
    own = make_item(db, owner=user, title="Lamp", **values)
    foreign = make_item(db, owner=make_user(db, role=Role.ADMIN), title="Lamp", **values)

    def send(**choice: Any) -> Any:
        if deed == "update":
            return as_user.patch(URL, json=choice | {"changes": {"status": "active"}})
        return as_user.post(f"{URL}/{deed}", json=choice)

    refused = send(ids=[own.id, foreign.id])
    done = send(filter={"title": "Lamp"})

    assert_error(refused, 404, "ITEM_NOT_FOUND", "ids.1")
    assert [record["id"] for record in done.json()] == [own.id]


def test_delete_items_takes_them_from_the_list(
    as_user: TestClient, user: User, db: Session
) -> None:
    gone, kept = make_items(db, 3, owner=user), make_items(db, 2, owner=user)

    response = as_user.post(f"{URL}/delete", json={"ids": gone})

    assert [record["id"] for record in response.json()] == gone
    assert [record["id"] for record in as_user.get("/api/v1/items/").json()] == kept


def test_restore_items_brings_them_back_as_they_were(
    as_user: TestClient, user: User, db: Session
) -> None:
    ids = make_items(db, 3, owner=user, title="Lamp")
    before = as_user.get("/api/v1/items/").json()
    as_user.post(f"{URL}/delete", json={"ids": ids})

    response = as_user.post(f"{URL}/restore", json={"filter": {"title": "Lamp"}})

    after = as_user.get("/api/v1/items/").json()
    assert response.json() == after
    assert [one | {"version": 1, "updated_at": None} for one in after] == [
        one | {"updated_at": None} for one in before
    ]


def test_update_items_at_once_loses_no_owner(
    client_of: ClientOf, as_admin: TestClient, admin: User, user: User, db: Session
) -> None:
    """A gift and the deletion of who gets it take turns: no item ends with who was gone before."""
    heir = make_user(db)
    ids = make_items(db, 20, owner=user)
    giver = client_of(admin)

    gift, deletion = at_once(
        [
            lambda: giver.patch(URL, json={"ids": ids, "changes": {"owner_id": heir.id}}),
            lambda: as_admin.post("/api/v1/users/bulk/delete", json={"ids": [heir.id]}),
        ]
    )

    assert deletion.status_code == 200
    assert gift.status_code in {200, 409}
    owners = set(db.scalars(select(Item.owner_id).where(Item.id.in_(ids))))
    assert owners == {heir.id if gift.status_code == 200 else user.id}
