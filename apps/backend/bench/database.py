"""One PostgreSQL, with a database for Backdesk and one for its peers."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg2  # type: ignore[import-untyped]  # Ships no types.
from sqlalchemy.engine import URL, make_url

from bench.measure import parent_of
from tests.services.postgresql import running_postgresql

NAMES: Final = ("backdesk_bench", "backdesk_bench_peers")
# A production server's memory. Vacuum runs between measurements, not in the middle of one.
OPTIONS: Final = {"shared_buffers": "512MB", "max_connections": "200", "autovacuum": "off"}


@dataclass(frozen=True)
class Database:
    backdesk: str
    peers: str
    server_pid: int


class NotHereError(Exception):
    """The database is on another machine, and what it costs there cannot be read."""


@contextmanager
def database(url: str | None) -> Iterator[Database]:
    """Make both databases, in the given server or one of our own, and drop them afterwards."""
    if url is None:
        with running_postgresql(**OPTIONS) as server, _databases(make_url(server.url())) as made:
            yield made
    else:
        with _databases(make_url(url)) as made:
            yield made


@contextmanager
def _databases(server: URL) -> Iterator[Database]:
    plain = server.set(drivername="postgresql")
    urls = [plain.set(database=name).render_as_string(hide_password=False) for name in NAMES]
    own = plain.render_as_string(hide_password=False)
    drop = [f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in NAMES]
    run(own, *drop, *(f"CREATE DATABASE {name}" for name in NAMES))
    try:
        yield Database(urls[0], urls[1], _server_pid(own))
    finally:
        run(own, *drop)


def _server_pid(url: str) -> int:
    """Raises NotHereError where the server's processes are not seen."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone() or (0,)
        try:
            return parent_of(backend)  # While it lives.
        except OSError:
            raise NotHereError from None


def run(url: str, *statements: str) -> list[Any]:
    """Run statements, each a transaction of its own, and return the rows of the last."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
