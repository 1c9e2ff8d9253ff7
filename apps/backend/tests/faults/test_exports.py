"""Exports from a server of their own, whose client or database leaves in the middle."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.assertions import assert_error
from tests.faults.product import Product
from tests.server import Server, running_server
from tests.services.postgresql import PostgreSQL, run

ITEMS: Final = "/api/v1/items/export"
PATIENCE: Final = 2.0
A_HANG: Final = 20
ROWS: Final = 60_000  # Of 1000 bytes: much more than the buffers between hold.
RUNNING: Final = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'backdesk-export'"
    " AND state <> 'idle'"  # A connection that waits for the next one does nothing.
)


class Served:
    """The server, and its database."""

    def __init__(self, server: Server, url: str) -> None:
        self.process = server.process
        self.url = url
        form = {"username": server.admin_email, "password": server.admin_password}
        login = f"{server.url}/api/v1/auth/login"
        with urllib.request.urlopen(login, urllib.parse.urlencode(form).encode()) as answer:
            self._token = json.load(answer)["access_token"]
        self._address = urlsplit(server.url)

    def ask(self, path: str = ITEMS) -> HTTPConnection:
        connection = HTTPConnection(str(self._address.hostname), self._address.port, timeout=A_HANG)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
        return connection

    @contextmanager
    def begin(self, path: str = ITEMS) -> Iterator[HTTPResponse]:
        """Give the answer to be read; in the end the client leaves."""
        with closing(self.ask(path)) as connection, closing(connection.getresponse()) as response:
            yield response

    def get(self, path: str = ITEMS) -> tuple[int, bytes]:
        with self.begin(path) as response:
            return response.status, response.read()

    def running(self) -> int:
        ((count,),) = run(self.url, RUNNING)
        return int(count)

    def memory(self) -> int:
        """In bytes, the most that it has ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        (line,) = (one for one in status.splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def served(_postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    url = _postgresql.new_database()
    settings = {
        "CLIENT_TIMEOUT_SECONDS": str(PATIENCE),
        "EXPORTS_AT_ONCE": "1",
        "JOBS_ENABLED": "false",
    }
    log = tmp_path_factory.mktemp("exports") / "log"
    with running_server(database_url=url, log=log, settings=settings) as server:
        run(
            url,
            "INSERT INTO items (title, description, status, owner_id, created_at, updated_at,"
            " version) SELECT 'Lamp ' || n, repeat('x', 1000), 'draft', (SELECT min(id) FROM"
            " users), now(), now(), 1 FROM generate_series(1, :rows) n",
            rows=ROWS,
        )
        yield Served(server, url)


def wait_until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + A_HANG
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_client_that_leaves_ends_the_work(served: Served, form: str) -> None:
    with served.begin(f"{ITEMS}?format={form}") as response:
        response.read(1000)
        assert served.running() == 1

    wait_until(lambda: served.running() == 0)
    assert served.get(f"{ITEMS}?q=none")[0] == 200  # The thread is free.


def test_client_that_leaves_before_the_first_byte_ends_the_work(served: Served) -> None:
    engine = create_engine(served.url, poolclass=NullPool)
    with engine.begin() as other:
        other.execute(text("LOCK TABLE items"))
        with closing(served.ask()):
            wait_until(lambda: served.running() == 1)

        wait_until(lambda: served.running() == 0)


def test_export_beyond_those_at_once_is_refused(served: Served) -> None:
    with served.begin():
        status, body = served.get()

    assert (status, json.loads(body)["error"]) == (503, "TOO_MANY_EXPORTS")
    wait_until(lambda: served.get(f"{ITEMS}?q=none")[0] == 200)


def test_export_of_a_database_that_leaves_is_broken_off(served: Served) -> None:
    with served.begin() as response:
        response.read(1000)
        run(
            served.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'backdesk-export'",
        )

        with pytest.raises(IncompleteRead):
            response.read()


def test_client_that_takes_nothing_ends_the_work(served: Served) -> None:
    with served.begin():
        wait_until(lambda: served.running() == 0)

        assert served.get(f"{ITEMS}?q=none")[0] == 200


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_export_costs_no_memory(served: Served, form: str) -> None:
    served.get(f"{ITEMS}?format={form}&q=none")
    before = served.memory()

    status, body = served.get(f"{ITEMS}?format={form}")

    assert (status, body.count(b"\n")) == (200, ROWS + (form == "csv"))
    assert served.memory() - before < 20 * 2**20


def test_fault_before_the_first_byte_is_told_as_everywhere(product: Product) -> None:
    product.run("ALTER TABLE items RENAME TO elsewhere")

    response = product.client.get(ITEMS)

    assert_error(response, 503, "SCHEMA_NOT_READY")
