"""The application on a PostgreSQL that breaks, and what is found there afterwards."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.main import Backdesk, create_app
from tests.factories import make_item, make_token, make_user
from tests.services.postgresql import PostgreSQL, run
from tests.settings import changed_settings

ITEMS: Final = "/api/v1/items/"
# Short, so that a test that waits for the end of one is not long.
TIMES: Final = {
    "DB_POOL_SIZE": "3",
    "DB_CONNECT_TIMEOUT_SECONDS": "2",
    "STATEMENT_TIMEOUT_SECONDS": "2",
    "REQUEST_TIMEOUT_SECONDS": "3",
}


@dataclass(frozen=True)
class Product:
    app: Backdesk
    url: str
    client: TestClient  # Of an admin.
    user_id: int  # Somebody else, who may own items.
    item_id: int

    def run(self, statement: str, **values: Any) -> Sequence[Any]:
        return run(self.url, statement, **values)

    def titles(self) -> list[str]:
        """Return the titles of the items that tests have made, deleted ones too."""
        rows = self.run("SELECT title FROM items WHERE id <> :id ORDER BY title", id=self.item_id)
        return [title for (title,) in rows]

    def create(self, title: str) -> Response:
        return self.client.post(ITEMS, json={"title": title})


@contextmanager
def served_from(postgresql: PostgreSQL, **settings: str) -> Iterator[Product]:
    url = postgresql.new_database()
    with changed_settings(DATABASE_URL=url, **TIMES | settings):
        app = create_app()
        engine = create_engine(url)
        with Session(engine) as db:
            admin = make_user(db, role=Role.ADMIN)
            user = make_user(db)
            item = make_item(db, owner=admin)
            headers = {"Authorization": f"Bearer {make_token(db, user=admin)}"}
            user_id, item_id = user.id, item.id
        engine.dispose()
        with TestClient(app, headers=headers) as client:
            yield Product(app, url, client, user_id, item_id)


@contextmanager
def in_background(call: Callable[[], Response]) -> Iterator[Future[Response]]:
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(call)


def at_once(calls: Sequence[Callable[[], Response]]) -> list[Response]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]
