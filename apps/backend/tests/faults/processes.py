"""Server processes that may be ended in any way, and started again at the same place."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.core.permissions import Role
from tests.factories import make_token, make_user
from tests.faults.product import ITEMS
from tests.server import BACKEND, START_SECONDS, free_port

SERVE: Final = ("app.cli", "serve")


@dataclass
class ServerProcess:
    database_url: str
    log: Path
    settings: Mapping[str, str]
    command: tuple[str, ...] = SERVE

    def __post_init__(self) -> None:
        self.port = free_port()
        # Signed in as an admin; each request has a connection of its own.
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers=_admin_headers(self.database_url),
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=30,
        )

    def create(self, title: str) -> httpx2.Response:
        return self.client.post(ITEMS, json={"title": title})

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "SECRET_KEY": get_settings().SECRET_KEY.get_secret_value(),
            "DATABASE_URL": self.database_url,
            "JOBS_ENABLED": "false",
            **self.settings,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command, "--port", str(self.port)],
                cwd=BACKEND,
                env=environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._lives():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.05)

    def end(self, number: int) -> int:
        """Return the exit code; negative is the signal that ended it."""
        self.process.send_signal(number)
        return self.process.wait(timeout=START_SECONDS)

    def workers(self) -> list[int]:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return [int(child) for child in children if "spawn_main" in _command_of(child)]

    def _lives(self) -> bool:
        try:
            return self.client.get("/health", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False


def _command_of(pid: str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


@contextmanager
def running(server: ServerProcess) -> Iterator[ServerProcess]:
    with server.client:
        try:
            server.start()
            yield server
        finally:
            if server.process.poll() is None:
                server.end(signal.SIGTERM)


def _admin_headers(database_url: str) -> dict[str, str]:
    engine = create_engine(database_url)
    with Session(engine) as db:
        token = make_token(db, user=make_user(db, role=Role.ADMIN))
    engine.dispose()
    return {"Authorization": f"Bearer {token}"}
