"""First starts, several at once and one after the other, in processes of their own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from app.models import Base, Item, User
from tests.conftest import POSTGRESQL, WORKER, new_postgresql_database
from tests.server import BACKEND, running_server

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

    assert codes == [0] * STARTS
    assert count(url, User) == 1


def test_run_seeds_a_database_once(url: str, tmp_path: Path) -> None:
    counted = []
    for _ in range(2):
        with running_server(database_url=url, log=tmp_path / "log", options=["--seed"]):
            counted.append((count(url, User), count(url, Item)))

    assert counted == [(51, 500)] * 2


IMPORT = """
import sys
sys.addaudithook(lambda event, _: event == "sqlite3.connect" and print(event))
from app.core.config import Settings
Settings.model_config["env_file"] = None
from app.main import create_app
create_app().openapi()
"""


def test_import_needs_no_settings_and_connects_to_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as database:
        database.setblocking(False)
        port = database.getsockname()[1]
        for settings in ({}, {"DATABASE_URL": f"postgresql://nobody@127.0.0.1:{port}/none"}):
            imported = subprocess.run(
                [sys.executable, "-c", IMPORT],
                cwd=BACKEND,
                env={"PATH": os.environ["PATH"], **settings},
                capture_output=True,
                check=True,
                timeout=60,
            )
            assert imported.stdout + imported.stderr == b""

        with pytest.raises(BlockingIOError):
            database.accept()


def count(url: str, model: type[Base]) -> int:
    """Count the rows, those of the trash too."""
    engine = create_engine(url)
    statement = select(func.count()).select_from(model)
    with Session(engine) as db:
        number = db.scalar(statement, execution_options={"include_deleted": True}) or 0
    engine.dispose()
    return number
