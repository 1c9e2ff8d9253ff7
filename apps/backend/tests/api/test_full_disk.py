"""A disk that is full: said as such, nothing half-written, and nothing left lying about."""

import resource
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.orm import Session

from app.db.session import get_engine
from app.models import AuditEvent, Item, User
from tests.assertions import assert_error
from tests.factories import make_item
from tests.uploads import send_file

ITEMS: Final = "/api/v1/items/"
LARGEST_FILE: Final = 2 * 2**20


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@contextmanager
def small_disk() -> Iterator[None]:
    """Have the system refuse to make any file larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_upload_that_has_no_room_is_unavailable(
    as_admin: TestClient, temporary: Path, db: Session
) -> None:
    rows = "".join(f"{secrets.token_hex(90)}\n" for _ in range(2 * LARGEST_FILE // 180))

    with small_disk():
        response = send_file(as_admin, f"{ITEMS}import", f"title\n{rows}")

    assert_error(response, 503, "STORAGE_FULL")
    assert response.headers["retry-after"]
    assert db.scalar(select(func.count()).select_from(Item)) == 0
    assert list(temporary.iterdir()) == []


def test_spreadsheet_that_has_no_room_is_unavailable(
    as_admin: TestClient, admin: User, temporary: Path, db: Session
) -> None:
    for _ in range(2 * LARGEST_FILE // 10_000):
        make_item(db, owner=admin, description=secrets.token_hex(5000))

    empty_log_of_sqlite()

    with small_disk():
        response = as_admin.get(f"{ITEMS}export", params={"format": "xlsx"})

    assert_error(response, 503, "STORAGE_FULL")
    assert response.headers["retry-after"]
    assert list(temporary.iterdir()) == []


def empty_log_of_sqlite() -> None:
    """Have its next write-ahead log begin anew, so that a small disk still has room for it."""
    engine = get_engine()
    if engine.dialect.name == "sqlite":
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def test_no_place_for_files_is_unavailable(
    as_admin: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Python says that looks for a place the first time."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])

    response = as_admin.get(f"{ITEMS}export", params={"format": "xlsx"})

    assert_error(response, 503, "STORAGE_FULL")


@pytest.mark.parametrize("description", ["short", "x" * 9000])
def test_spreadsheet_leaves_no_file_behind(
    as_admin: TestClient, admin: User, temporary: Path, db: Session, description: str
) -> None:
    make_item(db, owner=admin, description=description)

    response = as_admin.get(f"{ITEMS}export", params={"format": "xlsx"})

    assert response.content.startswith(b"PK")
    assert list(temporary.iterdir()) == []


def test_database_that_has_no_room_is_unavailable_and_keeps_what_it_has(
    as_admin: TestClient, admin: User, db: Session
) -> None:
    engine = get_engine()
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL says so by 53100, which is in the table of its codes.")
    make_item(db, owner=admin, title="Lamp")
    events = db.scalar(select(func.count()).select_from(AuditEvent))

    db.execute(text("VACUUM"))

    with no_more_pages(engine):
        response = as_admin.post(ITEMS, json={"title": "Book", "description": "x" * 10_000})
        title = as_admin.get(ITEMS).json()[0]["title"]
    again = as_admin.post(ITEMS, json={"title": "Book"})

    assert_error(response, 503, "DATABASE_UNAVAILABLE")
    assert title == "Lamp"
    assert again.status_code == 201
    assert db.scalar(select(func.count()).select_from(AuditEvent)) == (events or 0) + 1


@contextmanager
def no_more_pages(engine: Engine) -> Iterator[None]:
    def limit(connection: object, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]  # SQLite's.

    engine.dispose()
    event.listen(engine, "connect", limit)
    yield
    event.remove(engine, "connect", limit)
    engine.dispose()
