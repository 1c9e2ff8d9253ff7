"""Figures are kept for a moment, each for those alone who may see them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.main import create_app
from app.models import User
from tests.factories import make_item, make_token, make_user
from tests.racing import at_once
from tests.services.redis import RedisServer
from tests.settings import changed_settings

OVERVIEW = "/api/v1/statistics/overview"
TIMESERIES = "/api/v1/statistics/timeseries"

AppWith = Callable[..., FastAPI]


@pytest.fixture
def app_with(database: None) -> Iterator[AppWith]:
    """Make an application that keeps figures, under the given settings beside the defaults."""
    with ExitStack() as stack:

        def app_with(**settings: str) -> FastAPI:
            kept = {"STATISTICS_CACHE_SECONDS": "60"}
            stack.enter_context(changed_settings(**kept | settings))
            app = create_app()
            stack.callback(app.state.limiter.close)
            stack.callback(app.state.cache.close)
            return app

        yield app_with


@pytest.fixture(params=["memory", "redis"])
def app(app_with: AppWith, request: pytest.FixtureRequest) -> FastAPI:
    if request.param == "memory":
        return app_with()
    redis: RedisServer = request.getfixturevalue("redis")
    return app_with(REDIS_URL=redis.url)


def signed_in(app: FastAPI, db: Session, user: User) -> TestClient:
    return TestClient(app, headers={"Authorization": f"Bearer {make_token(db, user=user)}"})


def body(client: TestClient, url: str = OVERVIEW, **asked: str) -> Any:
    response = client.get(url, params=asked)
    assert response.status_code == 200, response.text
    return response.json()


def test_get_overview_is_kept_for_a_moment(app: FastAPI, db: Session, admin: User) -> None:
    client = signed_in(app, db, admin)
    first = body(client)
    make_item(db, owner=admin)

    assert body(client) == first
    assert first["items"]["total"] == 0


def test_get_timeseries_is_kept_for_a_moment(app: FastAPI, db: Session, admin: User) -> None:
    client = signed_in(app, db, admin)
    first = body(client, TIMESERIES, metric="items")
    make_item(db, owner=admin)

    assert body(client, TIMESERIES, metric="items") == first
    assert first["total"] == 0


def test_get_overview_keeps_nothing_where_that_is_switched_off(
    app_with: AppWith, db: Session, admin: User
) -> None:
    client = signed_in(app_with(STATISTICS_CACHE_SECONDS="0"), db, admin)
    first = body(client)
    make_item(db, owner=admin)

    assert body(client)["items"]["total"] == first["items"]["total"] + 1


def test_get_overview_shares_with_who_sees_the_same_and_nobody_else(
    app: FastAPI, db: Session, admin: User, auditor: User, manager: User, user: User
) -> None:
    others = {
        "colleague": make_user(db, role=Role.MANAGER, department="Sales"),
        "head cook": make_user(db, role=Role.MANAGER, department="Kitchen"),
        "loner": make_user(db, role=Role.MANAGER, department=None),
        "cook": make_user(db, department="Kitchen"),
    }
    people = {"admin": admin, "auditor": auditor, "manager": manager, "user": user} | others

    told = {name: body(signed_in(app, db, one)) for name, one in people.items()}

    shared = [{"admin", "auditor"}, {"manager", "colleague"}]
    by_answer: dict[str, set[str]] = {}
    for name, answer in told.items():
        by_answer.setdefault(answer["counted_at"], set()).add(name)
    assert [names for names in by_answer.values() if len(names) > 1] == shared
    totals = {name: answer["users"]["total"] for name, answer in told.items()}
    assert totals == {
        "admin": 8,
        "auditor": 8,
        "manager": 3,
        "colleague": 3,
        "head cook": 2,
        "loner": 1,
        "cook": 1,
        "user": 1,
    }


@pytest.mark.parametrize(
    "other",
    [
        {"metric": "signups"},
        {"interval": "week"},
        {"tz": "Europe/Berlin"},
        {"since": "2026-03-02"},
        {"until": "2026-03-30"},
    ],
)
def test_get_timeseries_keeps_what_was_asked_apart(
    app_with: AppWith, db: Session, admin: User, other: dict[str, str]
) -> None:
    client = signed_in(app_with(), db, admin)
    asked = {"metric": "items", "since": "2026-03-01", "until": "2026-03-31"}

    one, another = (body(client, TIMESERIES, **asked | more) for more in ({}, other))

    assert one["counted_at"] != another["counted_at"]


def test_get_overview_follows_a_caller_who_moves(app: FastAPI, db: Session, manager: User) -> None:
    client = signed_in(app, db, manager)
    make_user(db, department="Kitchen")
    before = body(client)["users"]["by_department"]

    manager.department = "Kitchen"
    db.commit()

    assert before == [{"department": "Sales", "users": 1}]
    assert body(client)["users"]["by_department"] == [{"department": "Kitchen", "users": 2}]


def test_get_overview_is_counted_once_for_many_at_once(
    app: FastAPI, db: Session, admin: User
) -> None:
    client = signed_in(app, db, admin)

    answers = at_once([lambda: client.get(OVERVIEW)] * 12)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["counted_at"] for answer in answers}) == 1


def test_get_overview_is_counted_once_for_several_processes(
    app_with: AppWith, redis: RedisServer, db: Session, admin: User
) -> None:
    clients = [signed_in(app_with(REDIS_URL=redis.url), db, admin) for _ in range(2)]

    answers = at_once([lambda client=client: client.get(OVERVIEW) for client in clients] * 6)

    assert len({answer.json()["counted_at"] for answer in answers}) == 1


@pytest.mark.parametrize("fault", ["frozen", "gone"])
def test_get_overview_answers_while_redis_is_out(
    app_with: AppWith,
    redis: RedisServer,
    db: Session,
    admin: User,
    manager: User,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    app = app_with(REDIS_URL=redis.url)
    logging.getLogger().addHandler(caplog.handler)
    body(signed_in(app, db, admin))
    make_item(db, owner=admin)

    redis.freeze() if fault == "frozen" else redis.stop()
    answers = [body(signed_in(app, db, one)) for one in (admin, manager, admin)]

    assert [one["items"]["total"] for one in answers] == [1, 0, 1]  # Counted by the database.
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len([one for one in warnings if "redis is gone" in one]) == 1
