"""What is purged is gone for good, with what is of no use without it; what is needed stays."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import (
    Base,
    IdempotencyKey,
    Item,
    OneTimeToken,
    OutgoingEmail,
    RefreshToken,
    UsageMonth,
    User,
)
from tests.assertions import assert_error
from tests.factories import make_item, make_letter_with_link, make_login, make_usage, make_user
from tests.racing import Call, at_once, statuses

USERS = "/api/v1/users/"
ITEMS = "/api/v1/items/"
PURGE = {"purge": "true"}
DELETED: dict[str, dict[str, Any]] = {"living": {}, "in the trash": {"deleted_at": utc_now()}}


def count(db: Session, model: type[Base]) -> int:
    statement = select(func.count()).select_from(model)
    return db.scalar(statement.execution_options(include_deleted=True)) or 0


def reach(db: Session, model: type[Any], record_id: int) -> Any:
    statement = select(model).where(model.id == record_id)
    options = {"include_deleted": True, "populate_existing": True}
    return db.scalar(statement.execution_options(**options))


of_living_and_deleted = pytest.mark.parametrize("values", DELETED.values(), ids=DELETED)


# --- Items.


@of_living_and_deleted
def test_delete_item_for_good_leaves_no_row(
    as_admin: TestClient, db: Session, admin: User, values: dict[str, Any]
) -> None:
    item = make_item(db, owner=admin, **values)

    response = as_admin.delete(f"{ITEMS}{item.id}", params=PURGE)

    assert (response.status_code, response.content) == (204, b"")
    assert count(db, Item) == 0
    assert_error(as_admin.post(f"{ITEMS}{item.id}/restore"), 404, "ITEM_NOT_FOUND")


def test_delete_item_for_good_is_in_the_audit(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    item_id = make_item(db, owner=admin).id

    as_admin.delete(f"{ITEMS}{item_id}", params=PURGE)

    (event,) = as_admin.get(f"/api/v1/audit/?resource_type=item&resource_id={item_id}").json()
    assert (event["action"], event["actor_id"]) == ("purge", admin.id)


def test_delete_item_for_good_gives_the_record_back_when_asked(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    item = make_item(db, owner=admin)
    record = as_admin.get(f"{ITEMS}{item.id}").json()

    response = as_admin.delete(
        f"{ITEMS}{item.id}", params=PURGE, headers={"Prefer": "return=representation"}
    )

    assert (response.status_code, response.json()) == (200, record)


@pytest.mark.parametrize("caller", ["as_user", "as_manager", "as_auditor"])
def test_delete_item_for_good_is_for_admins_alone(
    request: pytest.FixtureRequest, db: Session, user: User, caller: str
) -> None:
    client: TestClient = request.getfixturevalue(caller)
    items = make_item(db, owner=user), make_item(db, owner=user, deleted_at=utc_now())

    for item in items:
        response = client.delete(f"{ITEMS}{item.id}", params=PURGE)
        assert_error(response, 403, "PERMISSION_DENIED")
    assert count(db, Item) == 2


def test_delete_item_without_purge_does_not_reach_into_the_trash(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    item = make_item(db, owner=admin, deleted_at=utc_now())

    for params in ({}, {"purge": "false"}):
        response = as_admin.delete(f"{ITEMS}{item.id}", params=params)
        assert_error(response, 404, "ITEM_NOT_FOUND")
    assert count(db, Item) == 1


def test_delete_item_refuses_a_purge_that_is_neither_true_nor_false(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    item = make_item(db, owner=admin)

    response = as_admin.delete(f"{ITEMS}{item.id}?purge=perhaps")

    assert_error(response, 422, "INVALID_REQUEST", "purge")
    assert as_admin.get(f"{ITEMS}{item.id}").status_code == 200


def test_delete_item_for_good_at_once_does_it_once(
    client_of: Callable[[User], TestClient], db: Session, admin: User
) -> None:
    item_id = make_item(db, owner=admin).id

    def purge() -> Call:
        client = client_of(admin)
        return lambda: client.delete(f"{ITEMS}{item_id}", params=PURGE)

    responses = at_once([purge() for _ in range(6)])

    assert statuses(responses) == {204: 1, 404: 5}


# --- Users.


@of_living_and_deleted
def test_delete_user_for_good_takes_what_is_of_no_use_without_them(
    as_admin: TestClient, db: Session, values: dict[str, Any]
) -> None:
    user = make_user(db, **values)
    make_login(db, user=user)
    letter = make_letter_with_link(db, user=user)
    now = utc_now()
    key = {"key": "k", "fingerprint": "f", "created_at": now}
    db.add(IdempotencyKey(user_id=user.id, **key))
    db.add(UsageMonth(user_id=user.id, month=date(2026, 1, 1), tokens=0))
    db.commit()

    response = as_admin.delete(f"{USERS}{user.id}", params=PURGE)

    assert (response.status_code, response.content) == (204, b"")
    assert reach(db, User, user.id) is None
    gone = (RefreshToken, OneTimeToken, IdempotencyKey, UsageMonth)
    assert [count(db, model) for model in gone] == [0, 0, 0, 0]
    assert reach(db, OutgoingEmail, letter.id).token_id is None
    assert as_admin.get(f"{USERS}me").status_code == 200  # Whose session is another's.


def test_delete_user_for_good_is_in_the_audit(
    as_admin: TestClient, admin: User, user: User
) -> None:
    as_admin.delete(f"{USERS}{user.id}", params=PURGE)

    (event,) = as_admin.get(f"/api/v1/audit/?resource_type=user&resource_id={user.id}").json()
    assert (event["action"], event["actor_id"]) == ("purge", admin.id)


def test_delete_user_for_good_gives_the_record_back_when_asked(
    as_admin: TestClient, user: User
) -> None:
    record = as_admin.get(f"{USERS}{user.id}").json()

    response = as_admin.delete(
        f"{USERS}{user.id}", params=PURGE, headers={"Prefer": "return=representation"}
    )

    assert (response.status_code, response.json()) == (200, record)


@of_living_and_deleted
def test_delete_user_for_good_names_what_hangs_on_them(
    as_admin: TestClient, db: Session, values: dict[str, Any]
) -> None:
    user = make_user(db, **values)
    make_login(db, user=user)
    for _ in range(2):
        make_item(db, owner=user)
    make_item(db, owner=user, deleted_at=utc_now())
    make_usage(db, user=user)

    response = as_admin.delete(f"{USERS}{user.id}", params=PURGE)

    assert_error(response, 409, "HAS_DEPENDENTS")
    named = "2 items, 1 items in trash, 1 usage entries"
    assert response.json()["detail"] == f"Cannot purge: {named} still refer to this user."
    assert reach(db, User, user.id) is not None
    assert count(db, RefreshToken) == 1


@pytest.mark.parametrize("dependent", ["item", "deleted item", "usage"])
def test_delete_user_for_good_waits_for_each_that_hangs_on_them(
    as_admin: TestClient, db: Session, user: User, dependent: str
) -> None:
    make: dict[str, Callable[[], Any]] = {
        "item": lambda: make_item(db, owner=user),
        "deleted item": lambda: make_item(db, owner=user, deleted_at=utc_now()),
        "usage": lambda: make_usage(db, user=user),
    }
    needed = make[dependent]()

    refused = as_admin.delete(f"{USERS}{user.id}", params=PURGE)
    db.delete(needed)
    db.commit()
    taken = as_admin.delete(f"{USERS}{user.id}", params=PURGE)

    assert_error(refused, 409, "HAS_DEPENDENTS")
    assert taken.status_code == 204


def test_purge_knows_every_table_that_refers_to_users_or_items() -> None:
    """Whoever adds one decides: does it go along, or keep the user from being purged?"""
    referring = {
        (key.column.table.name, table.name)
        for table in Base.metadata.sorted_tables
        for key in table.foreign_keys
        if key.column.table.name in {"users", "items"}
    }

    assert referring == {
        ("users", "idempotency_keys"),
        ("users", "items"),
        ("users", "one_time_tokens"),
        ("users", "sessions"),
        ("users", "usage_events"),
        ("users", "usage_months"),
    }


def test_delete_user_for_good_refuses_oneself(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    make_user(db, role=Role.ADMIN)

    response = as_admin.delete(f"{USERS}{admin.id}", params=PURGE)

    assert_error(response, 403, "OWN_PURGE_NOT_PERMITTED")
    assert as_admin.get(f"{USERS}me").status_code == 200


def test_delete_me_knows_no_purge(as_admin: TestClient) -> None:
    assert_error(as_admin.delete(f"{USERS}me?purge=true"), 422, "INVALID_REQUEST", "purge")


@of_living_and_deleted
def test_delete_user_for_good_takes_another_admin(
    as_admin: TestClient, db: Session, values: dict[str, Any]
) -> None:
    other = make_user(db, role=Role.ADMIN, **values)

    assert as_admin.delete(f"{USERS}{other.id}", params=PURGE).status_code == 204


def test_delete_user_for_good_at_once_leaves_one_of_two_admins(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    first, second = make_user(db, role=Role.ADMIN), make_user(db, role=Role.ADMIN)

    def purge(own: User, other: User) -> Call:
        client = client_of(own)
        return lambda: client.delete(f"{USERS}{other.id}", params=PURGE)

    responses = at_once([purge(first, second), purge(second, first)])

    refused = [one.json()["error"] for one in responses if not one.is_success]
    assert len(refused) == 1
    assert refused[0] in {"LAST_ADMIN", "INVALID_TOKEN", "USER_NOT_FOUND"}
    assert count(db, User) == 1


@pytest.mark.parametrize("caller", ["as_user", "as_manager", "as_auditor"])
def test_delete_user_for_good_is_for_admins_alone(
    request: pytest.FixtureRequest, db: Session, caller: str
) -> None:
    client: TestClient = request.getfixturevalue(caller)
    gone = make_user(db, department="Sales", deleted_at=utc_now())

    for user_id in (gone.id, 10**9):
        response = client.delete(f"{USERS}{user_id}", params=PURGE)
        assert_error(response, 403, "PERMISSION_DENIED")


def test_delete_user_without_purge_does_not_reach_into_the_trash(
    as_admin: TestClient, db: Session
) -> None:
    gone = make_user(db, deleted_at=utc_now())

    assert_error(as_admin.delete(f"{USERS}{gone.id}"), 404, "USER_NOT_FOUND")


def test_purged_ids_are_never_given_again(as_admin: TestClient, db: Session, admin: User) -> None:
    user, item = make_user(db), make_item(db, owner=admin)

    as_admin.delete(f"{USERS}{user.id}", params=PURGE)
    as_admin.delete(f"{ITEMS}{item.id}", params=PURGE)

    heir = as_admin.post(USERS, json={"email": user.email, "username": user.username}).json()
    assert heir["id"] > user.id
    assert as_admin.post(ITEMS, json={"title": "Lamp"}).json()["id"] > item.id


def test_purge_at_once_with_what_would_hang_on_the_user_is_answered(
    client_of: Callable[[User], TestClient], db: Session, admin: User, user: User
) -> None:
    """Either comes first; nobody is left with an owner who is gone, and nothing breaks."""

    def create() -> Call:
        client = client_of(user)
        return lambda: client.post(ITEMS, json={"title": "Lamp"})

    remover = client_of(admin)
    purge: Call = lambda: remover.delete(f"{USERS}{user.id}", params=PURGE)  # noqa: E731  A call.

    purged, *created = at_once([purge, *(create() for _ in range(5))])

    assert purged.status_code in {204, 409}
    assert {one.status_code for one in created} <= {201, 401, 409}
    assert (reach(db, User, user.id) is None) == (purged.status_code == 204)
    assert count(db, Item) == sum(one.status_code == 201 for one in created)
    if purged.status_code == 204:
        assert count(db, Item) == 0
    else:
        assert_error(purged, 409, "HAS_DEPENDENTS")
