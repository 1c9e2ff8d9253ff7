"""A PgBouncer of the test's own, which lends the connections of a PostgreSQL by transaction."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg2  # type: ignore[import-untyped]  # Ships no types.
from sqlalchemy import make_url

from tests.absent import program
from tests.server import free_port
from tests.services.postgresql import USER, PostgreSQL

START_SECONDS: Final = 10
# All else is as PgBouncer has it by default.
SETTINGS: Final = """
[databases]
* = host=127.0.0.1 port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
"""


@contextmanager
def running_pgbouncer(postgresql: PostgreSQL) -> Iterator[int]:
    """Give the port. It leads to every database of that server."""
    command = program("pgbouncer", "/usr/sbin/pgbouncer")
    own_port = free_port()
    with tempfile.TemporaryDirectory(prefix="backdesk-pgbouncer-") as folder:
        Path(folder).chmod(0o755)  # It may run as another user.
        settings = Path(folder, "pgbouncer.ini")
        settings.write_text(SETTINGS.format(port=postgresql.port, own_port=own_port))
        process = subprocess.Popen([command, "--quiet", settings], **USER)
        try:
            _wait_until_ready(own_port)
            yield own_port
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def through(port: int, url: str) -> str:
    """Return the way to the same database by way of that port."""
    return make_url(url).set(port=port).render_as_string(hide_password=False)


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg2.connect(
                host="127.0.0.1", port=port, user="postgres", dbname="postgres"
            ).close()
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
