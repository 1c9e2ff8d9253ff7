"""Many users at once: the rules that hold for one hold for each."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import LoginSession, OneTimeToken, User
from tests.assertions import assert_error
from tests.factories import make_one_time_token, make_session, make_user
from tests.racing import Call, at_once, statuses
from tests.rows import every_row

URL = "/api/v1/users/bulk"
ClientOf = Callable[[User], TestClient]


def ids_of(*users: User) -> list[int]:
    return [user.id for user in users]


@pytest.mark.parametrize(
    "changes",
    [
        {"full_name": "Ann Lee"},
        {"full_name": None},
        {"department": "Kitchen", "role": "manager"},
        {"department": None},
        {"must_change_password": True},
        {"is_active": False},
        {"is_verified": False},
        {"token_quota": 5},
        {"token_quota": None},
    ],
)
def test_update_users_changes_each_field(as_admin: TestClient, db: Session, changes: Any) -> None:
    users = [make_user(db, department="Sales", full_name="A") for _ in range(2)]

    response = as_admin.patch(URL, json={"ids": ids_of(*users), "changes": changes})

    assert response.status_code == 200, response.text
    for user in users:
        db.refresh(user)
        assert {name: getattr(user, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("changes", "blamed"),
    [
        ({"email": "ann@example.com"}, "changes.email"),
        ({"username": "annlee"}, "changes.username"),
        ({"password": "curtains-on-friday"}, "changes.password"),
        ({"hashed_password": "x"}, "changes.hashed_password"),
        ({"id": 1}, "changes.id"),
        ({"version": 1}, "changes.version"),
        ({"deleted_at": None}, "changes.deleted_at"),
        ({"role": "king"}, "changes.role"),
        ({"role": None}, "changes.role"),
        ({"is_active": "yes"}, "changes.is_active"),
        ({"token_quota": -1}, "changes.token_quota"),
        ({"full_name": "\0"}, "changes.full_name"),
        (None, "changes"),
        ([], "changes"),
        ({}, "changes"),
    ],
)
def test_update_users_refuses_what_is_no_change_of_many(
    as_admin: TestClient, user: User, changes: Any, blamed: str
) -> None:
    response = as_admin.patch(URL, json={"ids": [user.id], "changes": changes})

    assert_error(response, 422, "INVALID_REQUEST", blamed)


def test_update_users_tells_fields_that_only_one_record_takes_from_unknown_ones(
    as_admin: TestClient, user: User
) -> None:
    changes = {"email": "x", "password": "x", "version": 1, "id": 1, "colour": 1, "role": None}
    response = as_admin.patch(URL, json={"ids": [user.id], "changes": changes})

    not_in_bulk = dict.fromkeys(
        ["email", "password", "version", "id"], "This field cannot be changed in bulk."
    )
    assert response.json()["errors"] == {
        f"changes.{name}": text
        for name, text in {
            **not_in_bulk,
            "colour": "Unknown field.",
            "role": "This field cannot be empty.",
        }.items()
    }


def test_update_users_needs_changes(as_admin: TestClient, user: User) -> None:
    response = as_admin.patch(URL, json={"ids": [user.id]})

    assert_error(response, 422, "INVALID_REQUEST", "changes")


# --- Who may do what to whom.


def test_update_users_lets_nobody_change_their_own_role(
    as_admin: TestClient, admin: User, user: User, db: Session
) -> None:
    before = every_row(db)

    body = {"ids": [user.id, admin.id], "changes": {"role": "manager"}}
    response = as_admin.patch(URL, json=body)

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", "ids.1.role")
    assert every_row(db) == before


def test_update_users_lets_everybody_change_their_own_name(
    as_admin: TestClient, admin: User, user: User
) -> None:
    body = {"ids": ids_of(admin, user), "changes": {"full_name": "Ann Lee", "role": "admin"}}
    own = as_admin.patch(URL, json=body | {"ids": [admin.id]})  # The role is theirs already.

    assert own.json()[0]["full_name"] == "Ann Lee"


def test_update_users_by_filter_names_who_is_refused_by_id(
    as_admin: TestClient, admin: User, user: User
) -> None:
    body = {"filter": {"id": ids_of(admin, user)}, "changes": {"is_active": False}}
    response = as_admin.patch(URL, json=body)

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", f"user.{admin.id}.is_active")


@pytest.mark.parametrize("changes", [{"role": "admin"}, {"department": "Kitchen"}])
def test_update_users_lets_a_manager_grant_no_role_and_move_nobody_out(
    as_manager: TestClient, user: User, changes: dict[str, Any]
) -> None:
    response = as_manager.patch(URL, json={"ids": [user.id], "changes": changes})

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", f"ids.0.{next(iter(changes))}")


@pytest.mark.parametrize("quota", [1001, None])
def test_update_users_lets_nobody_grant_more_than_they_hold(
    as_manager: TestClient, user: User, quota: int | None
) -> None:
    response = as_manager.patch(URL, json={"ids": [user.id], "changes": {"token_quota": quota}})

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", "ids.0.token_quota")


def test_update_users_keeps_a_manager_to_plain_users_of_their_department(
    as_manager: TestClient, user: User, db: Session
) -> None:
    boss = make_user(db, role=Role.ADMIN, department="Sales")
    cook = make_user(db, department="Kitchen")
    before = every_row(db)

    body = {"ids": ids_of(user, boss, cook), "changes": {"full_name": "A"}}
    response = as_manager.patch(URL, json=body)

    assert_error(response, 422, "BULK_REFUSED", "ids.1", "ids.2")
    assert every_row(db) == before


@pytest.mark.parametrize("deed", ["update", "delete", "restore"])
def test_update_users_by_filter_sees_what_the_list_shows(
    as_manager: TestClient, user: User, manager: User, db: Session, deed: str
) -> None:
    make_user(db, department="Kitchen")
    if deed == "restore":
        for name in ("Sales", "Kitchen"):
            make_user(db, department=name, full_name="Ann", deleted_at=utc_now())
    body: dict[str, Any] = {"filter": {"role": "user"}}

    if deed == "update":
        response = as_manager.patch(URL, json=body | {"changes": {"full_name": "Ann"}})
    else:
        response = as_manager.post(f"{URL}/{deed}", json=body)

    assert [record["department"] for record in response.json()] == ["Sales"]


@pytest.mark.parametrize("deed", ["delete", "restore"])
def test_delete_users_and_restore_users_keep_a_manager_to_plain_users(
    as_manager: TestClient, db: Session, deed: str
) -> None:
    deleted_at = utc_now() if deed == "restore" else None
    boss = make_user(db, role=Role.ADMIN, department="Sales", deleted_at=deleted_at)

    response = as_manager.post(f"{URL}/{deed}", json={"ids": [boss.id]})

    assert_error(response, 403, "PERMISSION_DENIED", "ids.0")


# --- The last active admin.


def test_delete_users_keeps_one_active_admin(
    as_admin: TestClient, admin: User, user: User, db: Session
) -> None:
    others = [make_user(db, role=Role.ADMIN) for _ in range(2)]
    make_user(db, role=Role.ADMIN, is_active=False)
    before = every_row(db)

    response = as_admin.post(f"{URL}/delete", json={"ids": ids_of(user, *others, admin)})

    assert_error(response, 409, "LAST_ADMIN", "ids.1", "ids.2", "ids.3")
    assert every_row(db) == before


def test_bulk_takes_all_admins_but_one(as_admin: TestClient, db: Session) -> None:
    others = [make_user(db, role=Role.ADMIN) for _ in range(2)]

    response = as_admin.patch(URL, json={"ids": ids_of(*others), "changes": {"role": "user"}})

    assert [record["role"] for record in response.json()] == ["user", "user"]


@pytest.mark.parametrize("deed", ["demote", "delete"])
def test_bulk_at_once_leaves_an_active_admin(client_of: ClientOf, db: Session, deed: str) -> None:
    admins = [make_user(db, role=Role.ADMIN) for _ in range(6)]

    def take_down(own: list[User], others: list[User]) -> Call:
        client = client_of(own[0])
        if deed == "delete":
            return lambda: client.post(f"{URL}/delete", json={"ids": ids_of(*others)})
        body = {"ids": ids_of(*others), "changes": {"role": "user"}}
        return lambda: client.patch(URL, json=body)

    first, second = admins[:3], admins[3:]
    responses = at_once([take_down(first, second), take_down(second, first)])

    active = select(func.count()).select_from(User).where(User.role == Role.ADMIN)
    assert db.scalar(active) == 3
    assert 200 in statuses(responses)


def test_bulk_at_once_waits_in_no_circle(client_of: ClientOf, admin: User, db: Session) -> None:
    ids = ids_of(*(make_user(db) for _ in range(50)))

    def update(order: list[int], name: str) -> Call:
        client = client_of(admin)
        return lambda: client.patch(URL, json={"ids": order, "changes": {"full_name": name}})

    responses = at_once([update(ids[:: 1 - 2 * (n % 2)], f"Name {n}") for n in range(4)])

    assert statuses(responses) == {200: 4}
    names = set(db.scalars(select(User.full_name).where(User.id.in_(ids))))
    assert len(names) == 1
    assert set(db.scalars(select(User.version).where(User.id.in_(ids)))) == {5}


# --- What follows.


@pytest.mark.parametrize("deed", ["deactivate", "delete"])
def test_bulk_ends_sessions_and_links_of_whom_it_shuts_out(
    as_admin: TestClient, db: Session, deed: str
) -> None:
    users = [make_user(db) for _ in range(3)]
    for user in users:
        make_session(db, user=user)
        make_one_time_token(db, user=user)

    chosen = ids_of(*users[:2])
    if deed == "delete":
        response = as_admin.post(f"{URL}/delete", json={"ids": chosen})
    else:
        response = as_admin.patch(URL, json={"ids": chosen, "changes": {"is_active": False}})

    assert response.status_code == 200
    live = select(LoginSession.user_id).where(LoginSession.ended_at.is_(None))
    usable = select(OneTimeToken.user_id).where(OneTimeToken.used_at.is_(None))
    assert set(db.scalars(live)).isdisjoint(chosen)
    assert list(db.scalars(usable)) == [users[2].id]


def test_update_users_leaves_sessions_of_others_alone(
    as_admin: TestClient, client_of: ClientOf, user: User
) -> None:
    client = client_of(user)

    as_admin.patch(URL, json={"ids": [user.id], "changes": {"token_quota": 5}})

    assert client.get("/api/v1/users/me").json()["token_quota"] == 5


def test_delete_users_includes_oneself(as_admin: TestClient, admin: User, db: Session) -> None:
    make_user(db, role=Role.ADMIN)

    response = as_admin.post(f"{URL}/delete", json={"ids": [admin.id]})

    assert [record["id"] for record in response.json()] == [admin.id]
    assert as_admin.get("/api/v1/users/me").status_code == 401


# --- Restoring.


def test_restore_users_tells_one_reason_where_both_values_are_taken(
    as_admin: TestClient, db: Session
) -> None:
    """A new account with the e-mail of an old one has its user name too."""
    gone = make_user(db, email="ann@example.com", username="ann", deleted_at=utc_now())
    make_user(db, email="ann@example.com", username="ann")

    refused = as_admin.post(f"{URL}/restore", json={"ids": [gone.id]})

    assert_error(refused, 409, "EMAIL_TAKEN", "ids.0")


def test_restore_users_refuses_values_that_are_taken_meanwhile(
    as_admin: TestClient, db: Session
) -> None:
    gone: dict[str, Any] = {"deleted_at": utc_now()}
    free = make_user(db, **gone)
    email_taken = make_user(db, email="ann@example.com", username="ann-1", **gone)
    username_taken = make_user(db, email="lee@example.com", username="lee", **gone)
    make_user(db, email="ann@example.com", username="ann-2")
    make_user(db, email="lee-2@example.com", username="lee")
    before = every_row(db)

    ids = ids_of(free, email_taken, username_taken)
    one = as_admin.post(f"{URL}/restore", json={"ids": ids[:2]})
    both = as_admin.post(f"{URL}/restore", json={"ids": ids})

    assert_error(one, 409, "EMAIL_TAKEN", "ids.1")
    assert_error(both, 422, "BULK_REFUSED", "ids.1", "ids.2")
    assert every_row(db) == before


def test_restore_users_refuses_the_second_of_two_alike(as_admin: TestClient, db: Session) -> None:
    twins = [
        make_user(db, email="ann@example.com", username=f"ann-{n}", deleted_at=utc_now())
        for n in range(2)
    ]

    response = as_admin.post(f"{URL}/restore", json={"ids": ids_of(*twins)})

    assert_error(response, 409, "EMAIL_TAKEN", "ids.1")


def test_restore_users_at_once_gives_an_e_mail_to_one(
    client_of: ClientOf, admin: User, db: Session
) -> None:
    twins = [
        make_user(db, email="ann@example.com", username=f"ann-{n}", deleted_at=utc_now())
        for n in range(5)
    ]

    def restore(user: User) -> Call:
        client = client_of(admin)
        return lambda: client.post(f"{URL}/restore", json={"ids": [user.id]})

    responses = at_once([restore(user) for user in twins])

    assert statuses(responses) == {200: 1, 409: 4}
    refused = [one.json() for one in responses if one.status_code == 409]
    assert {tuple(one["errors"]) for one in refused} == {("ids.0",)}


def test_restore_users_lets_them_sign_in_anew(
    as_admin: TestClient, client_of: ClientOf, db: Session
) -> None:
    user = make_user(db)
    client = client_of(user)
    as_admin.post(f"{URL}/delete", json={"ids": [user.id]})

    as_admin.post(f"{URL}/restore", json={"ids": [user.id]})

    assert client.get("/api/v1/users/me").status_code == 401
    assert client_of(user).get("/api/v1/users/me").status_code == 200
