from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.faults.processes import ServerProcess, running
from tests.faults.product import TIMES, Product, served_from
from tests.services.postgresql import PostgreSQL, running_postgresql


@pytest.fixture(scope="session")
def _postgresql(database: None) -> Iterator[PostgreSQL]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql(_postgresql: PostgreSQL) -> Iterator[PostgreSQL]:
    """A server of the test's own. However the test leaves it, the next finds it running."""
    yield _postgresql
    _postgresql.thaw()
    if not _postgresql.is_running:
        _postgresql.start()


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    return postgresql.new_database()


@pytest.fixture
def servers(url: str, tmp_path: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two processes that serve one database, asked by one admin."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running(ServerProcess(url, tmp_path / name, TIMES)))
            for name in ("first", "second")
        )
        second.client.headers["Authorization"] = first.client.headers["Authorization"]
        yield first, second


@pytest.fixture
def serve(postgresql: PostgreSQL) -> Callable[..., AbstractContextManager[Product]]:
    """Serve from that PostgreSQL under the given settings."""
    return partial(served_from, postgresql)


@pytest.fixture
def product(postgresql: PostgreSQL) -> Iterator[Product]:
    with served_from(postgresql) as product:
        yield product
