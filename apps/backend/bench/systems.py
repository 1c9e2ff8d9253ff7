"""Backdesk and its peers: what each is, and how it is started."""

import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.database import Database
from bench.places import BACKEND, SCRATCH
from tests.server import free_port

START_SECONDS: Final = 60
STOP_SECONDS: Final = 40
POOL_SIZE: Final = 6
THREADS: Final = str(POOL_SIZE)

UVICORN: Final = ("uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log")
GUNICORN: Final = ("gunicorn", "--no-control-socket", "--worker-class", "gthread")

FIRST_PATH: Final = "/api/v1/users/me"
UNAUTHORIZED: Final = 401
LIMITS: Final = ("ANONYMOUS", "USER", "LOGIN", "LOGIN_ADDRESS", "REFRESH", "EXPORT")

BARE: Final = "bare"
BACKDESK: Final = "backdesk"
TUTORIAL: Final = "tutorial"


@dataclass(frozen=True)
class System:
    name: str
    text: str
    module: str = ""  # Of a peer; Backdesk has none.
    is_wsgi: bool = False

    @property
    def is_peer(self) -> bool:
        return bool(self.module)

    def command(self, port: int, *, python: Path) -> list[str]:
        run = [str(python), "-m"]
        if not self.is_peer:
            return [*run, "app.cli", "serve", "--port", str(port), "--workers", "1"]
        if self.is_wsgi:
            options = ("--threads", THREADS, "--keep-alive", "75", "--log-level", "warning")
            return [*run, *GUNICORN, *options, "-b", f"127.0.0.1:{port}", self.module]
        return [*run, *UVICORN, "--log-level", "warning", "--port", str(port), self.module]


SYSTEMS: Final = (
    System(BACKDESK, "Backdesk"),
    System(TUTORIAL, "FastAPI, sync, as in its tutorial", "bench.peers.tutorial:app"),
    System("async", "FastAPI, async SQLAlchemy", "bench.peers.fastapi_async:app"),
    System("fastcrud", "FastCRUD", "bench.peers.fastcrud_api:app"),
    System("litestar", "Litestar", "bench.peers.litestar_api:app"),
    System("drf", "Django REST Framework", "bench.peers.drf:application", is_wsgi=True),
    System("ninja", "Django Ninja", "bench.peers.ninja_api:application", is_wsgi=True),
    System(BARE, "the bare limit: ASGI by hand", "bench.peers.bare:app"),
)


@dataclass(frozen=True)
class Running:
    system: System
    url: str
    database_url: str
    items: int
    pid: int
    seconds_to_first_answer: float


@contextmanager
def running(system: System, database: Database, *, python: Path) -> Iterator[Running]:
    """Start a system as it is started in production, and end it by its own signal."""
    port = free_port()
    database_url = database.peers if system.is_peer else database.backdesk
    SCRATCH.mkdir(parents=True, exist_ok=True)
    log = SCRATCH / f"{system.name}.log"
    with log.open("wb") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            system.command(port, python=python if system.is_peer else Path(sys.executable)),
            cwd=BACKEND,
            env=_environment(database_url, port),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for_answer(port, process, log)
            seconds = time.perf_counter() - begun
            url = f"http://127.0.0.1:{port}"
            yield Running(system, url, database_url, database.items, process.pid, seconds)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """By force, where it has locked up."""
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment(database_url: str, port: int) -> Mapping[str, str]:
    often = "1000000000/minute"  # Limits are counted, and never reached.
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "DB_POOL_SIZE": str(POOL_SIZE),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ENVIRONMENT": "production",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "ALLOWED_HOSTS": "127.0.0.1",
        **{f"RATE_LIMIT_{name}": often for name in LIMITS},
    }


def _wait_for_answer(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask for a page without a token until somebody refuses it: then all is loaded."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{FIRST_PATH}", timeout=START_SECONDS)
        except urllib.error.HTTPError as refusal:
            if refusal.code == UNAUTHORIZED:
                return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"{log.stem} did not start:\n{log.read_text()}")
