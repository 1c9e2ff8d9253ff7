"""What a server remembers when it is started again."""

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import create_engine, update

from app.core.clock import utc_now
from app.models import RefreshToken
from tests.conftest import POSTGRESQL, WORKER, new_postgresql_database
from tests.server import Server, running_server

REFRESH = "/api/v1/auth/refresh"


@pytest.fixture
def own_database(tmp_path: Path) -> str:
    if POSTGRESQL is not None:
        return new_postgresql_database(f"backdesk_restarted_{WORKER}")
    return f"sqlite:///{tmp_path}/restarted.db"


def refresh(server: Server, token: str) -> httpx2.Response:
    return httpx2.post(f"{server.url}{REFRESH}", json={"refresh_token": token}, timeout=30)


def let_the_grace_pass(database_url: str) -> None:
    engine = create_engine(database_url)
    long_ago = utc_now() - timedelta(minutes=5)
    with engine.begin() as connection:
        spent = update(RefreshToken).where(RefreshToken.spent_at.is_not(None))
        connection.execute(spent.values(spent_at=long_ago))
    engine.dispose()


def test_restart_forgets_no_spent_token(own_database: str, tmp_path: Path) -> None:
    with running_server(database_url=own_database, log=tmp_path / "first.log") as server:
        form = {"username": server.admin_email, "password": server.admin_password}
        login = httpx2.post(f"{server.url}/api/v1/auth/login", data=form, timeout=30).json()
        latest = refresh(server, login["refresh_token"]).json()
    let_the_grace_pass(own_database)

    with running_server(database_url=own_database, log=tmp_path / "second.log") as server:
        replayed = refresh(server, login["refresh_token"])
        after = refresh(server, latest["refresh_token"])

    assert (replayed.status_code, replayed.json()["error"]) == (401, "REFRESH_TOKEN_REUSED")
    assert (after.status_code, after.json()["error"]) == (401, "INVALID_TOKEN")
