from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import Item, User
from app.schemas.item import ItemStatus
from app.schemas.letter import LetterStatus
from tests.assertions import assert_error
from tests.factories import make_item, make_letter, make_session, make_usage, make_user

URL = "/api/v1/users/"
NOTHING = {
    "items": 0,
    "items_in_trash": 0,
    "usage_entries": 0,
    "sessions": 0,
    "letters_waiting": 0,
}


def make_items(db: Session, *, owner: User, number: int) -> None:
    now = utc_now()
    values = {"title": "Lamp", "status": ItemStatus.DRAFT, "owner_id": owner.id}
    rows = [values | {"created_at": now, "updated_at": now, "version": 1}] * number
    db.execute(insert(Item), rows)


def test_get_user_impact_counts_what_hangs_on_them(
    as_admin: TestClient, db: Session, admin: User, user: User
) -> None:
    for owner, number in ((user, 2), (admin, 5)):
        make_items(db, owner=owner, number=number)
        make_usage(db, user=owner)
        make_letter(db, recipient=owner.email)
    make_item(db, owner=user, deleted_at=utc_now())
    make_letter(db, recipient=user.email, status=LetterStatus.SENT)
    make_session(db, user=user)
    make_session(db, user=user, ended_at=utc_now())
    make_session(db, user=user, expires_at=utc_now() - timedelta(days=1))

    response = as_admin.get(f"{URL}{user.id}/impact")

    assert response.status_code == 200
    assert response.json() == {
        "items": 2,
        "items_in_trash": 1,
        "usage_entries": 1,
        "sessions": 1,
        "letters_waiting": 1,
    }


def test_get_user_impact_counts_nothing_of_one_who_is_new(as_admin: TestClient, user: User) -> None:
    assert as_admin.get(f"{URL}{user.id}/impact").json() == NOTHING


@pytest.mark.parametrize(("number", "told"), [(99, 99), (100, 100), (101, "100+"), (150, "100+")])
def test_get_user_impact_counts_to_a_hundred(
    as_admin: TestClient, db: Session, user: User, number: int, told: int | str
) -> None:
    make_items(db, owner=user, number=number)

    assert as_admin.get(f"{URL}{user.id}/impact").json() == NOTHING | {"items": told}


def test_get_user_impact_takes_one_statement(
    as_admin: TestClient, user: User, statements: list[str]
) -> None:
    as_admin.get(f"{URL}{user.id}")
    before = len(statements)

    as_admin.get(f"{URL}{user.id}/impact")

    assert len(statements) - before == before + 1


def test_get_user_impact_is_in_the_scope_of_the_role(
    client_of: Callable[[User], TestClient], db: Session, manager: User, auditor: User, user: User
) -> None:
    stranger = make_user(db, department="Kitchen")
    gone = make_user(db, department="Sales", deleted_at=utc_now())

    def answered(caller: User, target: User) -> int:
        return client_of(caller).get(f"{URL}{target.id}/impact").status_code

    targets = (user, stranger, gone)
    assert [answered(user, one) for one in targets] == [200, 404, 404]
    assert [answered(manager, one) for one in targets] == [200, 404, 200]  # Who may restore them.
    assert [answered(auditor, one) for one in targets] == [200, 200, 404]


def test_get_user_impact_refuses_strangers(anonymous: TestClient, user: User) -> None:
    assert_error(anonymous.get(f"{URL}{user.id}/impact"), 401, "NOT_AUTHENTICATED")
