"""The data providers of react-admin and refine, as published, against a running server."""

import os
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.absent import program
from tests.packages import npm_packages
from tests.server import Server

CLIENTS = Path(__file__).parent / "clients"


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts beside the packages they need, outside the git tree."""
    folder = tmp_path_factory.mktemp("clients")
    for script in CLIENTS.glob("*.mjs"):
        shutil.copy(script, folder)
    (folder / "node_modules").symlink_to(
        npm_packages(CLIENTS, name="data-providers"), target_is_directory=True
    )
    return folder


def access_token(server: Server) -> str:
    form = {"username": server.admin_email, "password": server.admin_password}
    answer = httpx2.post(f"{server.url}/api/v1/auth/login", data=form, trust_env=False)
    answer.raise_for_status()
    token: str = answer.json()["access_token"]
    return token


@pytest.mark.xdist_group("data_providers")
@pytest.mark.parametrize(
    "script", ["ra_data_simple_rest", "ra_data_json_server", "refine_simple_rest"]
)
def test_items_serve_the_unmodified_data_provider(
    clients: Path, server: Server, script: str
) -> None:
    environment = os.environ | {
        "API_URL": f"{server.url}/api/v1",
        "TOKEN": access_token(server),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }

    run = subprocess.run(
        [program("node"), clients / f"{script}.mjs"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"


def test_package_locks_name_no_registry() -> None:
    locks = list(Path(__file__).parents[1].rglob("package-lock.json"))

    assert len(locks) >= 3
    assert [str(lock) for lock in locks if '"resolved"' in lock.read_text()] == []
