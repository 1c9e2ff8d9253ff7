"""A 2xx is durable: the transaction ends, well or not, before the answer leaves."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.api.deps import DbSession
from app.api.routing import Router
from app.core.errors import ConflictError
from app.main import create_app
from app.models import Item, User
from tests.assertions import assert_error
from tests.conftest import POSTGRESQL
from tests.factories import make_item, make_user
from tests.rows import every_row

ITEMS = "/api/v1/items/"
LOGIN = "/api/v1/auth/login"
PASSWORD = "wallpaper-on-tuesday"

# Every statement goes well, and COMMIT fails: by a deferred trigger, or a deferred foreign key.
POSTGRESQL_BREAKS = """
CREATE FUNCTION refuse_to_commit() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'not in this transaction'; END $$;
CREATE CONSTRAINT TRIGGER refuse_items AFTER INSERT OR UPDATE ON items
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_to_commit();
CREATE CONSTRAINT TRIGGER refuse_users AFTER INSERT OR UPDATE ON users
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_to_commit()
"""
POSTGRESQL_MENDS = "DROP FUNCTION refuse_to_commit CASCADE"
SQLITE_BREAKS = """
CREATE TABLE unkept (user_id INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER refuse_items_in AFTER INSERT ON items BEGIN INSERT INTO unkept VALUES (-1); END;
CREATE TRIGGER refuse_items_up AFTER UPDATE ON items BEGIN INSERT INTO unkept VALUES (-1); END;
CREATE TRIGGER refuse_users_in AFTER INSERT ON users BEGIN INSERT INTO unkept VALUES (-1); END;
CREATE TRIGGER refuse_users_up AFTER UPDATE ON users BEGIN INSERT INTO unkept VALUES (-1); END
"""
SQLITE_MENDS = """
DROP TRIGGER refuse_items_in;
DROP TRIGGER refuse_items_up;
DROP TRIGGER refuse_users_in;
DROP TRIGGER refuse_users_up;
DROP TABLE unkept
"""

# How that is answered: a foreign key that leads nowhere has a name of its own.
UNCOMMITTED = (500, "INTERNAL_ERROR") if POSTGRESQL else (409, "REFERENCE_GONE")


@pytest.fixture
def break_commits(db: Session) -> Iterator[Callable[[], None]]:
    """Make every COMMIT of a change to users or items fail, from the call on."""
    is_sqlite = db.connection().dialect.name == "sqlite"
    broken = False

    def break_commits() -> None:
        nonlocal broken
        run(db, SQLITE_BREAKS if is_sqlite else POSTGRESQL_BREAKS)
        broken = True

    yield break_commits
    if broken:
        run(db, SQLITE_MENDS if is_sqlite else POSTGRESQL_MENDS)


def run(db: Session, script: str) -> None:
    """Run statements one by one; SQLite takes no more, and PostgreSQL's driver does not mind."""
    if db.connection().dialect.name == "postgresql":
        db.connection().exec_driver_sql(script)
        return
    for statement in script.replace("; END", "~ END").split(";"):
        db.connection().exec_driver_sql(statement.replace("~ END", "; END"))


WRITES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create item": ("POST", "items/", {"json": {"title": "New"}}),
    "update item": ("PATCH", "items/{item}", {"json": {"title": "New"}}),
    "replace item": ("PUT", "items/{item}", {"json": {"title": "New"}}),
    "delete item": ("DELETE", "items/{item}", {}),
    "delete and show": (
        "DELETE",
        "items/{item}",
        {"headers": {"Prefer": "return=representation"}},
    ),
    "create user": ("POST", "users/", {"json": {"email": "new@example.com"}}),
    "update user": ("PATCH", "users/{user}", {"json": {"full_name": "New"}}),
    "delete user": ("DELETE", "users/{user}", {}),
    "update me": ("PATCH", "users/me", {"json": {"full_name": "New"}}),
}


def send(client: TestClient, write: str, *, item: Item, user: User) -> Response:
    method, path, options = WRITES[write]
    return client.request(method, f"/api/v1/{path}".format(item=item.id, user=user.id), **options)


@pytest.mark.parametrize("write", WRITES)
def test_write_that_cannot_be_committed_is_never_answered_well(
    as_admin: TestClient,
    db: Session,
    admin: User,
    user: User,
    break_commits: Callable[[], None],
    write: str,
) -> None:
    item = make_item(db, owner=admin, title="Old")
    before = every_row(db)
    break_commits()

    response = send(as_admin, write, item=item, user=user)

    assert_error(response, *UNCOMMITTED)
    assert "commit" not in response.text.lower()
    assert "location" not in response.headers
    assert every_row(db) == before


@pytest.mark.parametrize("write", WRITES)
def test_write_that_can_be_committed_is_answered_well(
    as_admin: TestClient, db: Session, admin: User, user: User, write: str
) -> None:
    item = make_item(db, owner=admin, title="Old")
    before = every_row(db)

    response = send(as_admin, write, item=item, user=user)

    assert response.is_success
    assert every_row(db) != before


def test_login_that_cannot_be_committed_gives_no_token(
    anonymous: TestClient, db: Session, break_commits: Callable[[], None]
) -> None:
    make_user(db, email="ann@example.com", password=PASSWORD)
    break_commits()

    response = anonymous.post(LOGIN, data={"username": "ann@example.com", "password": PASSWORD})

    assert_error(response, *UNCOMMITTED)


def test_write_is_committed_when_its_answer_is_there(
    as_user: TestClient, db: Session, user: User
) -> None:
    for number in range(20):
        as_user.post(ITEMS, json={"title": f"Lamp {number}"})
        count = db.scalar(select(func.count()).select_from(Item))
        assert count == number + 1


def test_connection_is_usable_after_a_failed_commit(
    as_user: TestClient, break_commits: Callable[[], None]
) -> None:
    break_commits()

    refused = [as_user.post(ITEMS, json={"title": "Lamp"}) for _ in range(10)]

    assert {answer.status_code for answer in refused} == {UNCOMMITTED[0]}
    assert as_user.get(ITEMS).json() == []


# --- Whatever a handler raises undoes what it wrote.


@pytest.fixture(scope="module")
def failing(database: None) -> TestClient:
    """A client of an application with routes that write an item, and then fail."""
    app = create_app()
    failures: dict[str, Exception] = {
        "bug": RuntimeError("bug"),
        "refusal": ConflictError(),
        "http": HTTPException(404),
        "value": ValueError("bug"),
    }

    def write(db: Session, owner_id: int) -> None:
        db.add(Item(title="Written", status="draft", owner_id=owner_id))
        db.flush()

    router = Router(prefix="/failing/{owner_id}")

    @router.post("/answer", response_model=list[int])
    def fail_to_answer(owner_id: int, db: DbSession) -> Any:
        write(db, owner_id)
        return {"no": "list"}

    @router.post("/async/{failure}")
    async def fail_asynchronously(owner_id: int, failure: str, db: DbSession) -> None:
        write(db, owner_id)
        if failure in failures:
            raise failures[failure]

    @router.post("/{failure}")
    def fail(owner_id: int, failure: str, db: DbSession) -> None:
        write(db, owner_id)
        if failure in failures:
            raise failures[failure]

    app.include_router(router)
    return TestClient(app)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("bug", 500),
        ("value", 500),
        ("refusal", 409),
        ("http", 404),
        ("answer", 500),
        ("async/bug", 500),
        ("async/refusal", 409),
        ("async/http", 404),
    ],
)
def test_handler_that_fails_leaves_nothing_behind(
    failing: TestClient, db: Session, user: User, path: str, status: int
) -> None:
    response = failing.post(f"/failing/{user.id}/{path}")

    assert response.status_code == status
    assert db.scalar(select(func.count()).select_from(Item)) == 0


@pytest.mark.parametrize("path", ["none", "async/none"])
def test_handler_that_ends_well_and_cannot_be_committed_is_never_answered_well(
    failing: TestClient, db: Session, user: User, break_commits: Callable[[], None], path: str
) -> None:
    break_commits()

    response = failing.post(f"/failing/{user.id}/{path}")

    assert_error(response, *UNCOMMITTED)
    assert db.scalar(select(func.count()).select_from(Item)) == 0


@pytest.mark.parametrize("path", ["none", "async/none"])
def test_handler_that_ends_well_leaves_what_it_wrote(
    failing: TestClient, db: Session, user: User, path: str
) -> None:
    response = failing.post(f"/failing/{user.id}/{path}")

    assert response.status_code == 200
    assert db.scalar(select(func.count()).select_from(Item)) == 1
