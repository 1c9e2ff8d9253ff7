"""One user asks for more than there is, and everybody else goes on."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import User
from tests.factories import make_token, make_user
from tests.faults.product import ITEMS, Product

API: Final = "/api/v1"
# So long that nothing ends by itself.
LONG: Final = {
    "STATEMENT_TIMEOUT_SECONDS": "60",
    "REQUEST_TIMEOUT_SECONDS": "60",
    "DB_POOL_SIZE": "4",
}
BEGUN: Final = "SELECT count(*) FROM pg_locks WHERE NOT granted"

Serve = Callable[..., AbstractContextManager[Product]]


def clients_of(product: Product, email: str, count: int) -> list[TestClient]:
    """Each has a session of its own; they are one user all the same."""
    engine = create_engine(product.url)
    with Session(engine, expire_on_commit=False) as db:
        user = db.scalar(select(User).where(User.email == email))
        user = user or make_user(db, email=email, role=Role.ADMIN)
        tokens = [make_token(db, user=user) for _ in range(count)]
    engine.dispose()
    return [_client(product, token) for token in tokens]


def _client(product: Product, token: str) -> TestClient:
    client = TestClient(product.app, headers={"Authorization": f"Bearer {token}"})
    client.portal = product.client.portal
    return client


@contextmanager
def locked(product: Product, table: str) -> Iterator[None]:
    """Have all who ask for this table wait."""
    engine = create_engine(product.url)
    with engine.connect() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()


def wait_for(product: Product, waiting: int) -> None:
    deadline = time.monotonic() + 10
    while product.run(BEGUN) != [(waiting,)]:
        assert time.monotonic() < deadline, product.run(BEGUN)
        time.sleep(0.02)


def statuses(answers: Sequence[Future[Response]]) -> Counter[int]:
    return Counter(answer.result().status_code for answer in answers)


REQUESTS: Final[Sequence[tuple[str, str, dict[str, Any]]]] = [
    ("GET", ITEMS, {}),
    ("GET", ITEMS, {"params": {"q": "la"}}),
    ("GET", f"{API}/statistics/overview", {}),
    ("POST", ITEMS, {"json": {"title": "Lamp"}}),
    ("POST", f"{ITEMS}bulk/delete", {"json": {"ids": [1]}}),
]


@pytest.mark.parametrize(("method", "path", "options"), REQUESTS)
def test_slow_requests_of_one_user_keep_nobody_else_waiting(
    serve: Serve, method: str, path: str, options: dict[str, Any]
) -> None:
    with serve(**LONG) as product, ThreadPoolExecutor(24) as threads:
        greedy = clients_of(product, "greedy@example.com", 24)
        (other,) = clients_of(product, "other@example.com", 1)
        with locked(product, "items"):
            asked = [threads.submit(one.request, method, path, **options) for one in greedy]
            wait_for(product, 3)
            answers = [
                other.get(f"{API}/users/me"),
                other.patch(f"{API}/users/me", json={"full_name": "Ann"}),
                other.get(f"{API}/users/"),
            ]
            unfinished = [one for one in asked if not one.done()]

        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert len(unfinished) == 24
        assert max(statuses(asked)) < 500


def test_line_of_one_user_has_an_end(serve: Serve) -> None:
    settings = {**LONG, "MAX_REQUESTS_IN_FLIGHT": "12"}
    with serve(**settings) as product, ThreadPoolExecutor(12) as threads:
        greedy = clients_of(product, "greedy@example.com", 12)
        (other,) = clients_of(product, "other@example.com", 1)
        with locked(product, "items"):
            asked = [threads.submit(one.get, ITEMS) for one in greedy]
            wait_for(product, 3)
            refused = first(asked, 3)
            served = other.get(f"{API}/users/me")

        assert served.status_code == 200
        assert {one.status_code for one in refused} == {503}
        assert {one.json()["error"] for one in refused} == {"TOO_MANY_WAITING"}
        assert all(one.headers["Retry-After"] for one in refused)
        assert statuses(asked) == {200: 3 + 6, 503: 3}


def first(asked: Sequence[Future[Response]], count: int) -> list[Response]:
    """Return the answers that come while the others wait."""
    done: set[Future[Response]] = set()
    while len(done) < count:
        done |= wait(set(asked) - done, timeout=10, return_when=FIRST_COMPLETED).done
    return [one.result() for one in done]


def test_exports_of_one_user_leave_one_to_others(serve: Serve) -> None:
    with serve(**LONG, EXPORTS_AT_ONCE="3") as product, ThreadPoolExecutor(6) as threads:
        greedy = clients_of(product, "greedy@example.com", 6)
        (other,) = clients_of(product, "other@example.com", 1)
        with locked(product, "items"):
            asked = [threads.submit(one.get, f"{ITEMS}export") for one in greedy]
            wait_for(product, 2)
            refused = first(asked, 4)
            served = other.get(f"{API}/users/export")

        assert served.status_code == 200
        assert {one.json()["error"] for one in refused} == {"TOO_MANY_EXPORTS"}
        assert all(one.headers["Retry-After"] for one in refused)
        assert statuses(asked) == {200: 2, 503: 4}


def test_imports_of_one_user_keep_nobody_elses_waiting(serve: Serve) -> None:
    row = {"file": ("items.csv", b"title\nLamp\n")}
    with serve(**LONG) as product, ThreadPoolExecutor(24) as threads:
        greedy = clients_of(product, "greedy@example.com", 24)
        (other,) = clients_of(product, "other@example.com", 1)
        with locked(product, "items"):
            asked = [threads.submit(one.post, f"{ITEMS}import", files=row) for one in greedy]
            wait_for(product, 1)
            refused = first(asked, 16)
            served = other.post(
                f"{API}/users/import", files={"file": ("users.csv", b"email\nann@example.com\n")}
            )
            profile = other.get(f"{API}/users/me")

        assert (served.status_code, profile.status_code) == (200, 200)
        assert {one.json()["error"] for one in refused} == {"TOO_MANY_IMPORTS"}
        assert all(one.headers["Retry-After"] for one in refused)
        assert statuses(asked) == {200: 8, 503: 16}
        assert len(product.titles()) == 8


def test_revert_may_take_as_long_as_an_import(serve: Serve) -> None:
    settings = {**LONG, "REQUEST_TIMEOUT_SECONDS": "1"}
    with serve(**settings) as product, ThreadPoolExecutor(1) as threads:
        made = product.create("Lamp")
        path = f"{API}/audit/{made.headers['X-Request-ID']}/revert"
        with locked(product, "items"):
            asked = threads.submit(product.client.post, path)
            wait_for(product, 1)
            time.sleep(1.5)

        assert asked.result().status_code == 200
        assert product.client.get(f"{ITEMS}{made.json()['id']}").status_code == 404
