"""One database for each worker, emptied after each test. Commits are real, so are rollbacks.

`TEST_DATABASE_URL` names a PostgreSQL server on which each worker makes a database of its own;
without it the tests run on SQLite files.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from argon2 import low_level
from argon2.exceptions import VerifyMismatchError
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from app.core.config import Settings, get_settings
from app.core.permissions import Role
from app.core.security import verify_password
from app.db import migrations
from app.db.session import dispose, exporting, get_engine
from app.main import create_app
from app.models import Base, User
from tests.driver import BEGIN, BEGIN_IMMEDIATE, COMMIT, OPENING, ROLLBACK, noted_round_trips
from tests.factories import make_token, make_user
from tests.server import Server, running_server

pytest_plugins = ["tests.plugins.shares", "tests.services.redis", "tests.world"]

POSTGRESQL = os.environ.get("TEST_DATABASE_URL")
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")

# What a developer has set for a product must not reach the tests.
Settings.model_config["env_file"] = None
for name in (*Settings.model_fields, "BACKEND_CORS_ORIGINS"):
    os.environ.pop(name, None)
os.environ["JOBS_ENABLED"] = os.environ["RATE_LIMIT_ENABLED"] = "false"
os.environ["STATISTICS_CACHE_SECONDS"] = "0"  # What one test counted must not reach the next.
os.environ["SECRET_KEY"] = "tests-sign-with-this-key-and-nobody-else-does"


def pytest_report_header() -> str:
    return f"database: {'PostgreSQL' if POSTGRESQL else 'SQLite'}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if POSTGRESQL is None and item.get_closest_marker("postgresql") is not None:
        pytest.skip("TEST_DATABASE_URL is not set")


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    if POSTGRESQL is None:
        return f"sqlite:///{tmp_path_factory.mktemp('database')}/test.db"
    return new_postgresql_database(f"backdesk_test_{WORKER}")


def new_postgresql_database(name: str) -> str:
    url = make_url(POSTGRESQL or "").set(drivername="postgresql+psycopg2")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    server.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session", autouse=True)
def database(database_url: str) -> Iterator[None]:
    os.environ["DATABASE_URL"] = database_url
    get_settings.cache_clear()
    migrations.migrate()
    yield
    dispose()


@pytest.fixture(autouse=True)
def _empty_database(database: None) -> Iterator[None]:
    yield
    emptying = [str(table.delete()) for table in reversed(Base.metadata.sorted_tables)]
    with get_engine().begin() as connection:
        # PostgreSQL takes them in one round trip, SQLite one after the other.
        for statement in ["; ".join(emptying)] if POSTGRESQL else emptying:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def _engine_of_tests(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    yield engine
    engine.dispose()


@pytest.fixture
def db(database: None, _engine_of_tests: Engine) -> Iterator[Session]:
    """A session beside the application's, whose every statement is committed at once.

    `db.expire_all()` forgets what it has read, after a request has changed it. Rows that a test has
    made stay as they were made: its threads may read them without asking the database.
    """
    with Session(_engine_of_tests, expire_on_commit=False) as session:
        yield session


@pytest.fixture(scope="session")
def _entered_client(database: None) -> Iterator[TestClient]:
    with TestClient(create_app()) as client:
        yield client


@pytest.fixture
def anonymous(_entered_client: TestClient) -> TestClient:
    """A client that has not signed in."""
    client = TestClient(_entered_client.app)
    client.portal = _entered_client.portal  # One event loop serves all of a worker's clients.
    return client


@pytest.fixture
def client_of(db: Session, _entered_client: TestClient) -> Callable[[User], TestClient]:
    """Make a client that has signed in as the given user."""

    def client_of(user: User) -> TestClient:
        headers = {"Authorization": f"Bearer {make_token(db, user=user)}"}
        client = TestClient(_entered_client.app, headers=headers)
        client.portal = _entered_client.portal
        return client

    return client_of


@pytest.fixture
def round_trips(database: None) -> Iterator[list[str]]:
    """Every message that the application sends to the database while the test lasts."""
    trips: list[str] = []
    with exporting() as reading:
        of_exports = reading.bind
    assert isinstance(of_exports, Engine)
    with noted_round_trips(get_engine(), trips.append), noted_round_trips(of_exports, trips.append):
        yield trips


@pytest.fixture
def statements(database: None) -> Iterator[list[str]]:
    """Likewise, without what begins and ends transactions."""
    told: list[str] = []

    def note(statement: str) -> None:
        if statement not in {BEGIN, BEGIN_IMMEDIATE, COMMIT, ROLLBACK}:
            told.append(statement.removeprefix(OPENING))

    with exporting() as reading:
        of_exports = reading.bind
    assert isinstance(of_exports, Engine)
    with noted_round_trips(get_engine(), note), noted_round_trips(of_exports, note):
        yield told


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the library calls that computed a password's hash, as they happen."""
    verify_password("", None)  # Whatever is computed once per process is computed now.
    calls: list[str] = []

    def count(name: str) -> None:
        original = getattr(low_level, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            try:
                result = original(*args, **kwargs)
            except VerifyMismatchError:  # Computed, and not equal.
                calls.append(name)
                raise
            calls.append(name)
            return result

        monkeypatch.setattr(low_level, name, counted)

    count("hash_secret")
    count("verify_secret")
    return calls


@pytest.fixture
def held_while_hashing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many connections the application held, each time that it computed a password's hash."""
    held: list[int] = []

    def watch(name: str) -> None:
        original = getattr(low_level, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            pool = get_engine().pool
            assert isinstance(pool, QueuePool)
            held.append(pool.checkedout())
            return original(*args, **kwargs)

        monkeypatch.setattr(low_level, name, watched)

    watch("hash_secret")
    watch("verify_secret")
    return held


@pytest.fixture
def admin(db: Session) -> User:
    return make_user(db, email="admin@example.com", role=Role.ADMIN)


@pytest.fixture
def manager(db: Session) -> User:
    return make_user(db, email="manager@example.com", role=Role.MANAGER, department="Sales")


@pytest.fixture
def auditor(db: Session) -> User:
    return make_user(db, email="auditor@example.com", role=Role.AUDITOR)


@pytest.fixture
def user(db: Session) -> User:
    return make_user(db, email="user@example.com", department="Sales")


@pytest.fixture
def as_admin(client_of: Callable[[User], TestClient], admin: User) -> TestClient:
    return client_of(admin)


@pytest.fixture
def as_manager(client_of: Callable[[User], TestClient], manager: User) -> TestClient:
    return client_of(manager)


@pytest.fixture
def as_auditor(client_of: Callable[[User], TestClient], auditor: User) -> TestClient:
    return client_of(auditor)


@pytest.fixture
def as_user(client_of: Callable[[User], TestClient], user: User) -> TestClient:
    return client_of(user)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server process of its own, with a database of its own, for clients that are not ours."""
    folder = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{folder}/served.db"
    if POSTGRESQL is not None:
        url = new_postgresql_database(f"backdesk_served_{WORKER}")
    with running_server(database_url=url, log=folder / "log") as running:
        yield running
