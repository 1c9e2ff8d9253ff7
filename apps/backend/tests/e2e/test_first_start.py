"""Several first starts at once, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from app.models import User
from tests.conftest import POSTGRESQL, WORKER, new_postgresql_database
from tests.server import BACKEND

STARTS = 3


@pytest.fixture
def url(tmp_path: Path) -> str:
    if POSTGRESQL is not None:
        return new_postgresql_database(f"backdesk_first_{WORKER}")
    return f"sqlite:///{tmp_path}/first.db"


def test_create_admin_at_once_makes_one(url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": url}
    command = [sys.executable, "-m", "app.cli"]
    subprocess.run([*command, "migrate"], cwd=BACKEND, env=environment, check=True, timeout=60)

    started = [
        subprocess.Popen([*command, "create-admin", "--if-missing"], cwd=BACKEND, env=environment)
        for _ in range(STARTS)
    ]
    codes = [process.wait(timeout=60) for process in started]

    engine = create_engine(url)
    with Session(engine) as db:
        admins = db.scalar(select(func.count()).select_from(User))
    engine.dispose()
    assert codes == [0] * STARTS
    assert admins == 1
