"""Demo data: an office that could be a real one, on either database."""

import re
from collections import Counter
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.cli.bulk_load import bulk_load
from app.cli.console import progress_bar
from app.cli.demo_data import DEPARTMENTS
from app.cli.seed import SEEDED, seed_demo, seed_once
from app.core.clock import utc_now
from app.core.permissions import Role
from app.crud.quota import month_of
from app.db.session import unit_of_work
from app.models import Item, UsageEvent, UsageMonth, User

WITH_DELETED = {"include_deleted": True}


def everybody(db: Session) -> list[User]:
    return list(db.scalars(select(User).order_by(User.id), execution_options=WITH_DELETED))


def everything(db: Session) -> list[Item]:
    return list(db.scalars(select(Item).order_by(Item.id), execution_options=WITH_DELETED))


def test_seed_makes_as_many_as_asked_over_the_last_two_years(db: Session) -> None:
    seed_demo(users=60, items=90)

    users, items = everybody(db), everything(db)
    moments = [record.created_at for record in [*users, *items]]
    assert (len(users), len(items)) == (60, 90)
    assert min(moments) > utc_now() - timedelta(days=731)
    assert max(moments) <= utc_now()


def test_seed_makes_people_of_each_department_and_no_admin(db: Session) -> None:
    seed_demo(users=60, items=0)

    users = everybody(db)
    managed = {user.department for user in users if user.role == Role.MANAGER}
    roles = Counter(user.role for user in users)
    assert managed == set(DEPARTMENTS)
    assert roles[Role.USER] > 30
    assert roles[Role.ADMIN] == 0
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+\.[0-9a-f]{6}\d+", user.username) for user in users)


def test_seed_keeps_the_order_of_time(db: Session) -> None:
    seed_demo(users=60, items=90)

    users, items = everybody(db), everything(db)
    joined = {user.id: user.created_at for user in users}
    assert [one.created_at for one in users] == sorted(one.created_at for one in users)
    assert all(item.created_at >= joined[item.owner_id] for item in items)
    for user in users:
        assert user.created_at <= (user.last_login_at or user.created_at) <= utc_now()
        assert user.created_at <= (user.deleted_at or user.created_at) <= utc_now()


def test_seed_counts_usage_as_the_ledger_says(db: Session) -> None:
    seed_demo(users=60, items=0)

    quotas = {user.id: user.token_quota for user in everybody(db)}
    ledger: Counter[tuple[int, str]] = Counter()
    for entry in db.scalars(select(UsageEvent)):
        ledger[entry.user_id, str(month_of(entry.created_at))] += entry.tokens
    counted = {(row.user_id, str(row.month)): row.tokens for row in db.scalars(select(UsageMonth))}
    assert len(ledger) > 20
    assert counted == ledger
    assert all(tokens <= (quotas[user_id] or 0) for (user_id, _), tokens in counted.items())


def test_seed_gives_all_one_password_and_shows_it(
    anonymous: TestClient, db: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    seed_demo(users=8, items=0)

    (password,) = re.findall(r"the password (\S+)", capsys.readouterr().out)
    form = {"username": everybody(db)[0].email, "password": password}
    assert anonymous.post("/api/v1/auth/login", data=form).status_code == 200


def test_seed_twice_adds_twice(db: Session) -> None:
    seed_demo(users=8, items=5)
    seed_demo(users=8, items=5)

    assert (len(everybody(db)), len(everything(db))) == (16, 10)


def test_seed_once_adds_to_a_database_without_items(db: Session) -> None:
    seed_once()
    first = len(everything(db))
    seed_once()

    assert first == len(everything(db)) > 0


@pytest.mark.postgresql
def test_bulk_load_leaves_indexes_and_foreign_keys_as_they_were(db: Session) -> None:
    before = definitions(db)

    with (
        unit_of_work() as loading,
        progress_bar() as bar,
        bulk_load(loading, bar, models=SEEDED, is_large=True),
    ):
        during = definitions(loading)

    assert definitions(db) == before
    assert {kind(one) for one in before - during} == {"INDEX", "FOREIGN"}
    assert during < before


def definitions(db: Session) -> set[str]:
    indexes = text("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'")
    constraints = text(
        "SELECT concat(conrelid::regclass, ' ', conname, ': ', pg_get_constraintdef(oid))"
        " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    )
    return {*db.scalars(indexes), *db.scalars(constraints)}


def kind(definition: str) -> str:
    found = re.match(r"CREATE (UNIQUE|INDEX)|.*: (\w+)", definition)
    assert found is not None
    return found[1] or found[2]
