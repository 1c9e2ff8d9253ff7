"""The product in a process of its own, started as its users start it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BACKEND = Path(__file__).resolve().parents[1]
START_SECONDS = 30
SIGNED_WITH = "the-served-product-signs-with-this-in-tests"


@dataclass(frozen=True)
class Server:
    url: str
    admin_email: str
    admin_password: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_server(
    *,
    database_url: str,
    log: Path,
    settings: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Server]:
    """Migrate, create the first admin and serve on a free port; end it by its own signal."""
    email, password = "admin@example.com", "wallpaper-on-tuesday"
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "SECRET_KEY": SIGNED_WITH,
        "FIRST_ADMIN_EMAIL": email,
        "FIRST_ADMIN_PASSWORD": password,
        "RATE_LIMIT_ENABLED": "false",
        **(settings or {}),
    }
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "run", "--port", str(port), *options],
            cwd=BACKEND,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process, log)
            yield Server(url, email, password, process)
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{log.read_text()}")
