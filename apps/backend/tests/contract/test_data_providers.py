"""The data providers of react-admin and refine, as published, against a running server."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.absent import leave_out, program
from tests.server import Server

if sys.platform != "win32":
    import fcntl

CLIENTS = Path(__file__).parent / "clients"
LOCK = CLIENTS / "package-lock.json"


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts beside the packages they need, outside the git tree."""
    folder = tmp_path_factory.mktemp("clients")
    for script in CLIENTS.glob("*.mjs"):
        shutil.copy(script, folder)
    (folder / "node_modules").symlink_to(installed_packages(), target_is_directory=True)
    return folder


def installed_packages() -> Path:
    """Installed once for each state of the lock; a second run needs neither time nor network."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backdesk"
    packages = cache / f"data-providers-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with one_worker_at_a_time(cache / "data-providers.lock"):
        if not packages.exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                fresh = Path(scratch) / "fresh"
                install_packages(fresh)
                fresh.rename(packages)
    return packages / "node_modules"


@contextmanager
def one_worker_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install_packages(folder: Path) -> None:
    folder.mkdir()
    for name in (".npmrc", "package.json", LOCK.name):
        shutil.copy(CLIENTS / name, folder)
    try:
        subprocess.run(
            [program("npm"), "ci", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
    except subprocess.TimeoutExpired:
        leave_out("npm ci took longer than 180 seconds")
    except subprocess.CalledProcessError as error:
        leave_out(first_complaint(error.stderr))


def first_complaint(output: str) -> str:
    complaints = [line for line in output.splitlines() if not line.startswith("npm warn")]
    return "; ".join(complaints[:3]) or "npm ci failed"


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


def test_package_lock_names_no_registry() -> None:
    lock = LOCK.read_text()

    assert '"resolved"' not in lock
