"""A PostgreSQL of the test's own, to be stopped, killed and frozen."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from app.db import migrations
from tests.absent import program
from tests.server import free_port
from tests.settings import changed_settings

START_SECONDS: Final = 30
OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
}
# The server refuses to run as root.
USER: Final[Mapping[str, Any]] = (
    {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
)


class PostgreSQL:
    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        self.folder = folder
        self.options = {**OPTIONS, **options}
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def start(self) -> None:
        options = [f"-c{name}={value}" for name, value in self.options.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self.folder / "data", f"-p{self.port}", *options],
                stdout=log,
                stderr=log,
                **USER,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End every connection at once, as a restart in a hurry does."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        self._signal_all(signal.SIGKILL)
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop every process of it; its kernel goes on acknowledging."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def new_database(self) -> str:
        """Return the URL of a database with the product's schema, and nothing in it."""
        if self._databases == 0:
            self.run("CREATE DATABASE empty")
            with changed_settings(DATABASE_URL=self.url("empty")):
                migrations.migrate()
        self._databases += 1
        name = f"backdesk_{self._databases}"
        self.run(f"CREATE DATABASE {name} TEMPLATE empty")
        return self.url(name)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> Sequence[Any]:
        return run(self.url(database), statement)

    def _answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except OperationalError:
            return False
        return True

    def _end(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            self._process.wait(timeout=START_SECONDS)

    def _signal_all(self, number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
        for pid in (parent, *map(int, children.split())):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def run(url: str, statement: str, **values: Any) -> Sequence[Any]:
    """Run a statement on a connection of its own, committed at once; return its rows, if any."""
    engine = create_engine(
        make_url(url),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": 5},
    )
    with engine.connect() as connection:
        result = connection.execute(text(statement), values)
        return result.all() if result.returns_rows else []


@contextmanager
def running_postgresql(**options: str) -> Iterator[PostgreSQL]:
    initdb = _program("initdb")
    with tempfile.TemporaryDirectory(prefix="backdesk-postgresql-", dir=_memory()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "data").mkdir()
        if USER:
            shutil.chown(folder / "data", "postgres", "postgres")
        subprocess.run(
            [
                *(initdb, "-D", folder / "data", "-U", "postgres", "-A", "trust"),
                *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **USER,
        )
        server = PostgreSQL(folder, options)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _memory() -> Path | None:
    """Return a folder in memory, where there is enough; else the usual place."""
    folder = Path("/dev/shm")  # noqa: S108  TemporaryDirectory makes one of its own there.
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > 2**30 else None


def _program(name: str) -> str:
    """The newest that is installed; Debian keeps them out of the way."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    return str(installed[-1]) if installed else program(name)


def _version(path: Path) -> int:
    return int(path.parts[-3])
