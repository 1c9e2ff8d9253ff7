from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from tests.faults.product import Product, served_from
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
def serve(postgresql: PostgreSQL) -> Callable[..., AbstractContextManager[Product]]:
    """Serve from that PostgreSQL under the given settings."""
    return partial(served_from, postgresql)


@pytest.fixture
def product(postgresql: PostgreSQL) -> Iterator[Product]:
    with served_from(postgresql) as product:
        yield product
