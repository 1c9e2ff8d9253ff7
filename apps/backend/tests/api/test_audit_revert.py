"""What one request has changed is taken back: all of it, or nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import AuditEvent, Item, LoginSession, OneTimeToken, OutgoingEmail, User
from tests.assertions import assert_error
from tests.browser import LOGIN, PASSWORD
from tests.factories import (
    make_item,
    make_items,
    make_letter,
    make_one_time_token,
    make_user,
    make_users,
)
from tests.racing import Call, at_once, statuses
from tests.rows import every_row
from tests.uploads import csv_of, send_file

API = "/api/v1"
USERS = f"{API}/users"
ITEMS = f"{API}/items"
ClientOf = Callable[[User], TestClient]


def id_of(response: Response) -> str:
    assert response.is_success, response.text
    return response.headers["x-request-id"]


@pytest.fixture
def revert(as_admin: TestClient) -> Callable[..., Response]:
    def revert(response: Response, **params: Any) -> Response:
        return as_admin.post(f"{API}/audit/{id_of(response)}/revert", params=params)

    return revert


Revert = Callable[..., Response]


def told(db: Session, response: Response) -> list[AuditEvent]:
    statement = select(AuditEvent).where(AuditEvent.request_id == id_of(response))
    return list(db.scalars(statement.order_by(AuditEvent.id)))


def fields_of(db: Session, ids: list[int]) -> list[tuple[Any, ...]]:
    names = ("full_name", "department", "role", "is_active", "is_verified", "token_quota")
    columns = (getattr(User, name) for name in (*names, "must_change_password", "email"))
    statement = select(*columns).where(User.id.in_(ids)).order_by(User.id)
    return [tuple(row) for row in db.execute(statement)]


# --- A bulk change.


def make_various_users(db: Session, count: int) -> list[int]:
    """Make users who differ in each field that a bulk change may set."""
    ids = make_users(db, count)
    for place in range(3):
        some = [one for one in ids if one % 3 == place]
        values = {
            "full_name": [None, "Ann Lee", "Bo"][place],
            "department": ["Sales", None, "Kitchen"][place],
            "role": [Role.USER, Role.MANAGER, Role.AUDITOR][place],
            "is_active": place > 0,
            "is_verified": place > 1,
            "token_quota": [None, 0, 7][place],
        }
        db.execute(update(User).where(User.id.in_(some)).values(**values))
    return ids


CHANGES: dict[str, Any] = {
    "full_name": "Ann Lee",
    "department": "Office",
    "role": "user",
    "is_active": True,
    "is_verified": True,
    "token_quota": 5,
    "must_change_password": True,
}


def test_revert_request_restores_each_field_of_a_bulk_change(
    as_admin: TestClient, revert: Revert, db: Session, statements: list[str]
) -> None:
    ids = make_various_users(db, 500)
    before = fields_of(db, ids)
    changed = as_admin.patch(f"{USERS}/bulk", json={"ids": ids, "changes": CHANGES})
    assert fields_of(db, ids) != before

    statements.clear()
    response = revert(changed)

    assert len(statements) <= 24, statements
    assert fields_of(db, ids) == before
    reverted = response.json()["reverted"]
    assert [one["resource_id"] for one in reverted] == ids
    assert {(one["resource_type"], one["action"]) for one in reverted} == {("user", "update")}
    assert {field for one in reverted for field in one["fields"]} == set(CHANGES)


def test_revert_request_is_itself_in_the_audit(
    as_admin: TestClient, revert: Revert, db: Session
) -> None:
    ids = make_various_users(db, 30)
    changed = as_admin.patch(f"{USERS}/bulk", json={"ids": ids, "changes": CHANGES})
    forth = {event.resource_id: event.changes for event in told(db, changed)}

    response = revert(changed)

    *changes, deed = told(db, response)
    back = {event.resource_id: event.changes for event in changes}
    turned = {
        one: {name: [after, before] for name, (before, after) in fields.items()}
        for one, fields in forth.items()
    }
    assert back == turned
    assert {(event.action, event.actor_email) for event in changes} == {
        ("update", "admin@example.com")
    }
    assert (deed.action, deed.resource_type, deed.changes) == (
        "revert",
        "request",
        {"request_id": [None, id_of(changed)]},
    )


def test_revert_request_takes_back_a_revert(
    as_admin: TestClient, revert: Revert, db: Session
) -> None:
    ids = make_various_users(db, 30)
    changed = as_admin.patch(f"{USERS}/bulk", json={"ids": ids, "changes": CHANGES})
    after = fields_of(db, ids)
    reverted = revert(changed)

    again = revert(reverted)
    back = revert(again)

    assert (again.status_code, back.status_code) == (200, 200)
    assert fields_of(db, ids) != after
    revert(back)
    assert fields_of(db, ids) == after


def test_revert_request_takes_back_thousands(
    as_user: TestClient, revert: Revert, user: User, db: Session
) -> None:
    """As many as an import may bring: here two requests are made to look like one."""
    ids = make_items(db, 1500, owner=user)
    deleted = [
        as_user.post(f"{ITEMS}/bulk/delete", json={"ids": some})
        for some in (ids[:1000], ids[1000:])
    ]
    db.execute(update(AuditEvent).values(request_id=id_of(deleted[0])))

    response = revert(deleted[0])

    assert [record["resource_id"] for record in response.json()["reverted"]] == ids
    assert db.scalar(select(func.count()).select_from(Item)) == 1500


# --- Each deed, and its opposite.


def test_revert_request_deletes_what_was_created(
    as_user: TestClient, revert: Revert, db: Session
) -> None:
    created = as_user.post(f"{ITEMS}/bulk", json={"items": [{"title": "A"}, {"title": "B"}]})

    response = revert(created)

    ids = [record["id"] for record in created.json()]
    assert response.json()["reverted"] == [
        {"resource_type": "item", "resource_id": one, "action": "delete", "fields": []}
        for one in ids
    ]
    assert as_user.get(f"{ITEMS}/").json() == []
    assert as_user.post(f"{ITEMS}/bulk/restore", json={"ids": ids}).status_code == 200


@pytest.mark.parametrize("kind", ["users", "items"])
def test_revert_request_restores_what_was_deleted(
    as_admin: TestClient, revert: Revert, user: User, db: Session, kind: str
) -> None:
    record = user if kind == "users" else make_item(db, owner=user)
    before = as_admin.get(f"{API}/{kind}/{record.id}").json()

    response = revert(as_admin.delete(f"{API}/{kind}/{record.id}"))

    after = as_admin.get(f"{API}/{kind}/{record.id}").json()
    assert response.json()["reverted"][0]["action"] == "restore"
    assert after == before | {"version": 3, "updated_at": after["updated_at"]}


@pytest.mark.parametrize("kind", ["users", "items"])
def test_revert_request_deletes_what_was_restored(
    as_admin: TestClient, revert: Revert, user: User, db: Session, kind: str
) -> None:
    gone: dict[str, Any] = {"deleted_at": utc_now()}
    record = make_user(db, **gone) if kind == "users" else make_item(db, owner=user, **gone)

    response = revert(as_admin.post(f"{API}/{kind}/{record.id}/restore"))

    assert response.json()["reverted"][0]["action"] == "delete"
    assert as_admin.get(f"{API}/{kind}/{record.id}").status_code == 404


def test_revert_request_gives_a_leavers_items_back(
    as_admin: TestClient, revert: Revert, user: User, db: Session
) -> None:
    other, heir = make_user(db), make_user(db)
    mine, others = make_items(db, 3, owner=user), make_items(db, 3, owner=other)
    body = {"ids": mine + others, "changes": {"owner_id": heir.id, "status": "archived"}}

    revert(as_admin.patch(f"{ITEMS}/bulk", json=body))

    owners = dict(db.execute(select(Item.id, Item.owner_id)).all())
    assert owners == dict.fromkeys(mine, user.id) | dict.fromkeys(others, other.id)
    assert set(db.scalars(select(Item.status))) == {"draft"}


def test_revert_request_sets_fields_back_to_null(
    as_admin: TestClient, revert: Revert, user: User, db: Session
) -> None:
    item = make_item(db, owner=user, description=None)

    changed = as_admin.patch(f"{ITEMS}/{item.id}", json={"description": "Brass.", "title": "A"})
    response = revert(changed)

    assert response.json()["reverted"][0]["fields"] == ["description", "title"]
    db.refresh(item)
    assert (item.description, item.title) == (None, "Desk lamp")


def test_revert_request_takes_an_import_back(
    as_admin: TestClient, revert: Revert, db: Session
) -> None:
    ann = make_user(db, email="ann@example.com", full_name="Ann", token_quota=5)
    rows = ["ann@example.com,Ann Lee,7", "zoe@example.com,Zoe,9"]
    table = csv_of("email,full_name,token_quota", rows)
    imported = send_file(as_admin, f"{USERS}/import", table, on_conflict="update")

    response = revert(imported)

    assert response.status_code == 200, response.text
    assert {one["action"] for one in response.json()["reverted"]} == {"update", "delete"}
    db.refresh(ann)
    assert (ann.full_name, ann.token_quota) == ("Ann", 5)
    assert set(db.scalars(select(User.email))) == {"admin@example.com", "ann@example.com"}


# --- What has changed since is left alone.


def test_revert_request_names_what_was_changed_since(
    as_admin: TestClient, revert: Revert, user: User, db: Session
) -> None:
    kept, edited, trashed, purged = make_items(db, 4, owner=user)
    body = {"ids": [kept, edited, trashed, purged], "changes": {"title": "Lamp"}}
    changed = as_admin.patch(f"{ITEMS}/bulk", json=body)
    as_admin.patch(f"{ITEMS}/{edited}", json={"status": "active"})
    as_admin.delete(f"{ITEMS}/{trashed}")
    as_admin.delete(f"{ITEMS}/{purged}?purge=true")
    before = every_row(db)

    response = revert(changed)

    blamed = [f"item.{one}" for one in (edited, trashed, purged)]
    assert_error(response, 409, "CHANGED_SINCE", *blamed)
    assert [text.split()[2] for text in response.json()["errors"].values()] == [
        "changed",
        "changed",
        "purged",
    ]
    assert every_row(db) == before


def test_revert_request_happens_once(as_admin: TestClient, revert: Revert, user: User) -> None:
    changed = as_admin.patch(f"{USERS}/{user.id}", json={"full_name": "A"})
    revert(changed)

    assert_error(revert(changed), 409, "CHANGED_SINCE", f"user.{user.id}")


def test_revert_request_at_once_happens_once(
    as_admin: TestClient, client_of: ClientOf, admin: User, db: Session
) -> None:
    ids = make_users(db, 20)
    body = {"ids": ids, "changes": {"full_name": "A"}}
    url = f"{API}/audit/{id_of(as_admin.patch(f'{USERS}/bulk', json=body))}/revert"

    def revert_it() -> Call:
        client = client_of(admin)
        return lambda: client.post(url)

    responses = at_once([revert_it() for _ in range(4)])

    assert statuses(responses) == {200: 1, 409: 3}
    assert set(db.scalars(select(User.version).where(User.id.in_(ids)))) == {3}


def test_revert_request_is_not_stopped_by_a_login(
    as_admin: TestClient, anonymous: TestClient, revert: Revert, db: Session
) -> None:
    ann = make_user(db, email="ann@example.com", password=PASSWORD)
    changed = as_admin.patch(f"{USERS}/{ann.id}", json={"full_name": "A"})
    anonymous.post(LOGIN, data={"username": ann.email, "password": PASSWORD})

    assert revert(changed).status_code == 200


# --- Values that are taken meanwhile.


def test_revert_request_names_whose_address_is_taken(
    as_admin: TestClient, revert: Revert, db: Session
) -> None:
    first, second = make_user(db, email="ann@example.com"), make_user(db)
    gone = as_admin.post(f"{USERS}/bulk/delete", json={"ids": [first.id, second.id]})
    make_user(db, email="ann@example.com", username="another")
    before = every_row(db)

    response = revert(gone)

    assert_error(response, 409, "EMAIL_TAKEN", f"user.{first.id}")
    assert every_row(db) == before


@pytest.mark.parametrize(
    ("field", "code"), [("email", "EMAIL_TAKEN"), ("username", "USERNAME_TAKEN")]
)
def test_revert_request_gives_no_name_back_that_is_taken(
    as_admin: TestClient, revert: Revert, db: Session, field: str, code: str
) -> None:
    old = {"email": "ann@example.com", "username": "annlee"}
    new = {"email": "lee@example.com", "username": "leeann"}
    ann = make_user(db, email=old["email"], username=old["username"])
    changed = as_admin.patch(f"{USERS}/{ann.id}", json=new)
    other = {"email": "other@example.com", "username": "other"} | {field: old[field]}
    make_user(db, email=other["email"], username=other["username"])

    response = revert(changed)

    assert_error(response, 409, code, f"user.{ann.id}")


def test_revert_request_gives_no_item_back_to_who_is_gone(
    as_admin: TestClient, revert: Revert, user: User, db: Session
) -> None:
    heir = make_user(db)
    (item,) = make_items(db, 1, owner=user)
    body = {"ids": [item], "changes": {"owner_id": heir.id}}
    changed = as_admin.patch(f"{ITEMS}/bulk", json=body)
    as_admin.delete(f"{USERS}/{user.id}")

    refused = revert(changed)
    as_admin.post(f"{USERS}/{user.id}/restore")
    done = revert(changed)

    assert_error(refused, 409, "OWNER_NOT_FOUND", f"item.{item}.owner_id")
    assert done.status_code == 200


# --- What cannot be taken back.


def not_revertible(client: TestClient, ann: User, db: Session) -> dict[str, Callable[[], Response]]:
    ann_url, form = f"{USERS}/{ann.id}", {"username": ann.email, "password": PASSWORD}
    return {
        "purge": lambda: client.delete(f"{ann_url}?purge=true"),
        "login": lambda: client.post(LOGIN, data=form),
        "password_changed": lambda: client.patch(
            ann_url, json={"password": "curtains-on-friday", "full_name": "A"}
        ),
        "sessions_ended": lambda: client.delete(f"{ann_url}/sessions"),
        "letter_resent": lambda: client.post(
            f"{API}/letters/{make_letter(db, last_error='x').id}/resend"
        ),
        "job_run": lambda: client.post(f"{API}/jobs/clean-up/run"),
    }


@pytest.mark.parametrize(
    "deed", ["purge", "login", "password_changed", "sessions_ended", "letter_resent", "job_run"]
)
def test_revert_request_refuses_what_cannot_be_taken_back(
    as_admin: TestClient, revert: Revert, db: Session, deed: str
) -> None:
    ann = make_user(db, email="ann@example.com", password=PASSWORD)
    done = not_revertible(as_admin, ann, db)[deed]()
    before = every_row(db)

    response = revert(done)

    body = response.json()
    assert (response.status_code, body["error"]) == (409, "NOT_REVERTIBLE"), body
    assert deed in body["detail"]
    assert every_row(db) == before


def test_revert_request_refuses_events_of_earlier_releases(
    as_admin: TestClient, revert: Revert, user: User, db: Session
) -> None:
    changed = as_admin.patch(f"{USERS}/{user.id}", json={"full_name": "A"})
    db.execute(update(AuditEvent).values(version=None))

    assert_error(revert(changed), 409, "NOT_REVERTIBLE", f"user.{user.id}")


def test_revert_request_refuses_fields_that_are_no_more(
    as_admin: TestClient, revert: Revert, user: User, db: Session
) -> None:
    changed = as_admin.patch(f"{USERS}/{user.id}", json={"full_name": "A"})
    db.execute(update(AuditEvent).values(changes={"hashed_password": ["x", "y"]}))

    assert_error(revert(changed), 409, "NOT_REVERTIBLE", f"user.{user.id}")


@pytest.mark.parametrize(
    ("request_id", "status", "code", "blamed"),
    [
        ("0" * 24, 404, "REQUEST_NOT_FOUND", []),
        ("nothing", 404, "REQUEST_NOT_FOUND", []),
        ("%00", 404, "REQUEST_NOT_FOUND", []),
        ("a" * 33, 404, "REQUEST_NOT_FOUND", []),
    ],
)
def test_revert_request_refuses_a_request_that_is_unknown(
    as_admin: TestClient, request_id: str, status: int, code: str, blamed: list[str]
) -> None:
    response = as_admin.post(f"{API}/audit/{request_id}/revert")

    assert_error(response, status, code, *blamed)


def test_revert_request_does_not_know_of_what_changed_nothing(
    as_admin: TestClient, revert: Revert, user: User
) -> None:
    nothing = as_admin.patch(f"{USERS}/{user.id}", json={})

    assert_error(revert(nothing), 404, "REQUEST_NOT_FOUND")


# --- The rules of the house hold.


def test_revert_request_keeps_the_last_active_admin(
    as_admin: TestClient, client_of: ClientOf, admin: User
) -> None:
    created = as_admin.post(f"{USERS}/", json={"email": "boss@example.com", "role": "admin"})
    boss = created.json()["id"]
    as_admin.delete(f"{USERS}/me")
    as_boss = client_of(User(id=boss))

    response = as_boss.post(f"{API}/audit/{id_of(created)}/revert")

    assert_error(response, 409, "LAST_ADMIN", f"user.{boss}")


def test_revert_request_gives_nobody_their_own_role_back(
    as_admin: TestClient, client_of: ClientOf, admin: User, db: Session
) -> None:
    boss = make_user(db, role=Role.ADMIN)
    demoted = client_of(boss).patch(f"{USERS}/{admin.id}", json={"token_quota": 5})
    before = every_row(db)

    response = as_admin.post(f"{API}/audit/{id_of(demoted)}/revert")

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", f"user.{admin.id}.token_quota")
    assert every_row(db) == before


def test_revert_request_changes_nobodys_own_address_without_their_password(
    as_admin: TestClient, client_of: ClientOf, admin: User, db: Session
) -> None:
    boss = make_user(db, role=Role.ADMIN)
    changed = client_of(boss).patch(f"{USERS}/{admin.id}", json={"email": "new@example.com"})

    response = as_admin.post(f"{API}/audit/{id_of(changed)}/revert")

    blamed = f"user.{admin.id}.current_password"
    assert_error(response, 403, "CURRENT_PASSWORD_WRONG", blamed)


# How somebody gets in, whom the revert shuts out again.
ENTRANCES: dict[str, Callable[[TestClient, Session], Response]] = {
    "created": lambda client, _: client.post(f"{USERS}/", json={"email": "ann@example.com"}),
    "activated": lambda client, db: client.patch(
        f"{USERS}/{make_user(db, is_active=False).id}", json={"is_active": True}
    ),
    "restored": lambda client, db: client.post(
        f"{USERS}/{make_user(db, deleted_at=utc_now()).id}/restore"
    ),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_revert_request_ends_sessions_and_links_of_whom_it_shuts_out(
    as_admin: TestClient, client_of: ClientOf, revert: Revert, db: Session, entrance: str
) -> None:
    entered = ENTRANCES[entrance](as_admin, db)
    db.expire_all()
    user = db.scalars(select(User).where(User.id == entered.json()["id"])).one()
    client = client_of(user)
    make_one_time_token(db, user=user)

    response = revert(entered)

    assert response.status_code == 200, response.text
    assert client.get(f"{USERS}/me").status_code == 401
    live = select(LoginSession.id).where(LoginSession.user_id == user.id)
    usable = select(OneTimeToken.id).where(OneTimeToken.user_id == user.id)
    assert list(db.scalars(live.where(LoginSession.ended_at.is_(None)))) == []
    assert list(db.scalars(usable.where(OneTimeToken.used_at.is_(None)))) == []


def test_revert_request_follows_an_address(
    as_admin: TestClient, revert: Revert, db: Session
) -> None:
    ann = make_user(db, email="ann@example.com", password=PASSWORD)
    changed = as_admin.patch(f"{USERS}/{ann.id}", json={"email": "lee@example.com"})
    db.expire_all()
    make_one_time_token(db, user=ann)

    revert(changed)

    db.expire_all()
    assert ann.email == "ann@example.com"
    assert list(db.scalars(select(OneTimeToken).where(OneTimeToken.used_at.is_(None)))) == []
    letters = db.scalars(select(OutgoingEmail).order_by(OutgoingEmail.id.desc()))
    last = letters.first()
    assert last is not None
    assert (last.template, last.recipient) == ("email_changed", "lee@example.com")
    assert last.parameters["new_email"] == "ann@example.com"


# --- Trying it.


def test_revert_request_tells_what_it_would_do(
    as_admin: TestClient, revert: Revert, user: User, db: Session
) -> None:
    changed = as_admin.patch(f"{USERS}/{user.id}", json={"full_name": "A"})
    before = every_row(db)

    response = revert(changed, dry_run="true")

    (change,) = response.json()["changes"]
    assert (change["id"], change["fields"]) == (user.id, {"full_name": ["A", None]})
    assert every_row(db) == before
