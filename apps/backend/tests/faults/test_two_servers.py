"""Two processes on one PostgreSQL promise together what one promises alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.factories import make_user
from tests.faults.processes import ServerProcess, running
from tests.racing import Call, at_once, statuses
from tests.services.postgresql import PostgreSQL, run

USAGE: Final = "/api/v1/usage/"


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    return postgresql.new_database()


@pytest.fixture
def servers(url: str, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    one, two = (ServerProcess(url, tmp_path / name, {}) for name in ("one", "two"))
    with running(one), running(two):
        yield [one, two]


def test_two_servers_never_overdraw_a_quota(url: str, servers: list[ServerProcess]) -> None:
    user_id = user_with_quota(url, 100)
    body = {"tokens": 30, "kind": "summary", "user_id": user_id}

    def consumption(server: ServerProcess) -> Call:
        return lambda: server.client.post(USAGE, json=body)

    responses = at_once([consumption(server) for server in servers * 10])

    assert statuses(responses) == {201: 3, 429: 17}
    assert run(url, "SELECT tokens FROM usage_months") == [(90,)]
    assert run(url, "SELECT tokens FROM usage_events") == [(30,)] * 3


def user_with_quota(url: str, quota: int) -> int:
    engine = create_engine(url)
    with Session(engine) as db:
        user_id = make_user(db, token_quota=quota).id
    engine.dispose()
    return user_id
