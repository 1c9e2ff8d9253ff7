"""One PostgreSQL, with databases for Backdesk and its peers."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg2  # type: ignore[import-untyped]  # Ships no types.
from sqlalchemy.engine import URL, make_url

from bench.measure import parent_of
from tests.services.postgresql import running_postgresql

# Memory that holds a million items and their indexes, so that what is measured is no matter of how
# many fit. Vacuum runs between measurements, not in the middle of one.
OPTIONS: Final = {"shared_buffers": "2GB", "max_connections": "200", "autovacuum": "off"}


@dataclass(frozen=True)
class Server:
    url: URL
    pid: int


@dataclass(frozen=True)
class Database:
    """The same rows twice: for Backdesk, and for its peers, which have other columns."""

    backdesk: str
    peers: str
    items: int
    server_pid: int


class NotHereError(Exception):
    def __init__(self) -> None:
        super().__init__("the database is elsewhere, and what it costs there cannot be read.")


@contextmanager
def server(url: str | None) -> Iterator[Server]:
    """Yield the given one, or one of our own. Raises NotHereError."""
    if url is None:
        with running_postgresql(**OPTIONS) as own:
            yield _seen(own.url())
    else:
        yield _seen(url)


def _seen(url: str) -> Server:
    """Raises NotHereError where the server's processes are not seen."""
    plain = make_url(url).set(drivername="postgresql")
    with closing(psycopg2.connect(_text(plain))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone() or (0,)
        try:
            return Server(plain, parent_of(backend))  # While it lives.
        except OSError:
            raise NotHereError from None


@contextmanager
def database(server: Server, *, items: int) -> Iterator[Database]:
    """Make both, empty, and drop them afterwards."""
    names = (f"backdesk_bench_{items}", f"backdesk_bench_{items}_peers")
    drop = [f"DROP DATABASE IF EXISTS {one} WITH (FORCE)" for one in names]
    run(_text(server.url), *drop, *(f"CREATE DATABASE {one}" for one in names))
    try:
        urls = [_text(server.url.set(database=one)) for one in names]
        yield Database(urls[0], urls[1], items, server.pid)
    finally:
        run(_text(server.url), *drop)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def run(url: str, *statements: str) -> list[Any]:
    """Run statements, each a transaction of its own, and return the rows of the last."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
