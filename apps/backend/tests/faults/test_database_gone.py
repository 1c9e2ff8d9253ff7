"""PostgreSQL restarts, stays away, fails over or freezes: 503 at once, and whole again after."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import Any

import pytest
from sqlalchemy import text

from app.api.deps import DbSession, public
from app.api.routing import Router
from app.db.session import IDLE_SECONDS_BEFORE_PING
from app.models import Item
from app.schemas.item import ItemStatus
from tests.assertions import assert_error
from tests.faults.product import ITEMS, Product, at_once
from tests.services.postgresql import PostgreSQL

# More than any time-out here; a hang would last for ever.
A_HANG = 15


def assert_unavailable(response: Any, code: str = "DATABASE_UNAVAILABLE") -> None:
    assert_error(response, 503, code)
    assert int(response.headers["retry-after"]) >= 1


def test_restart_of_the_database_while_nobody_asks_costs_nothing(
    postgresql: PostgreSQL, product: Product
) -> None:
    at_once([lambda: product.client.get(ITEMS)] * 10)  # So that the pool is full.
    postgresql.stop()
    postgresql.start()
    time.sleep(IDLE_SECONDS_BEFORE_PING)

    answers = [product.create(f"Lamp {number}") for number in range(10)]

    assert {answer.status_code for answer in answers} == {201}


@pytest.mark.parametrize("end", [PostgreSQL.stop, PostgreSQL.kill])
def test_restart_of_the_database_costs_no_read_anything(
    postgresql: PostgreSQL, product: Product, end: Callable[[PostgreSQL], None]
) -> None:
    at_once([lambda: product.client.get(ITEMS)] * 10)  # So that the pool is full.
    end(postgresql)
    postgresql.start()

    answers = [product.client.get(ITEMS) for _ in range(10)]

    assert {answer.status_code for answer in answers} == {200}


def test_restart_of_the_database_costs_at_most_one_write_an_answer(
    postgresql: PostgreSQL, product: Product
) -> None:
    at_once([lambda: product.client.get(ITEMS)] * 10)
    postgresql.stop()
    postgresql.start()

    answers = [product.create(f"Lamp {number}") for number in range(10)]

    done = [number for number, answer in enumerate(answers) if answer.status_code == 201]
    assert len(done) >= 9
    assert product.titles() == [f"Lamp {number}" for number in done]


def test_restart_in_mid_transaction_writes_nothing_half(
    postgresql: PostgreSQL, product: Product
) -> None:
    router = Router(prefix="/restart")

    @router.post("", dependencies=[public])
    def restart_meanwhile(db: DbSession) -> None:
        for number in range(2):
            item = Item(title=f"Half {number}", status=ItemStatus.DRAFT, owner_id=product.user_id)
            db.add(item)
            db.flush()
            if number == 0:
                postgresql.stop()
                postgresql.start()

    product.app.include_router(router)

    refused = product.client.post("/restart")

    assert_unavailable(refused)
    assert product.titles() == []
    assert product.create("Whole").status_code == 201


def test_write_whose_connection_is_lost_does_not_run_again(product: Product) -> None:
    """It may have been committed, for all that anyone knows here."""
    product.run("CREATE SEQUENCE runs")
    product.run(
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM nextval('runs'), pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
    )
    product.run("CREATE TRIGGER cut BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION cut()")

    refused = product.create("Lamp")

    assert_unavailable(refused)
    assert product.run("SELECT last_value FROM runs") == [(1,)]


def test_read_whose_connections_are_lost_again_and_again_is_unavailable(product: Product) -> None:
    runs = []
    router = Router(prefix="/cut")

    @router.get("", dependencies=[public])
    def cut(db: DbSession) -> None:
        runs.append(1)
        db.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    product.app.include_router(router)

    assert_unavailable(product.client.get("/cut"))
    assert len(runs) == 2


def test_database_down_is_unavailable_at_once_and_comes_back_by_itself(
    postgresql: PostgreSQL, product: Product
) -> None:
    product.client.get(ITEMS)
    postgresql.stop()

    began_at = time.monotonic()
    read, write = product.client.get(ITEMS), product.create("Lamp")
    alive, ready = product.client.get("/health"), product.client.get("/health/ready")
    seconds = time.monotonic() - began_at
    postgresql.start()
    again = [product.client.get("/health/ready"), product.client.get(ITEMS), product.create("Desk")]

    assert_unavailable(read)
    assert_unavailable(write)
    assert alive.status_code == 200
    assert_unavailable(ready)
    assert seconds < A_HANG
    assert [answer.status_code for answer in again] == [200, 200, 201]
    assert product.titles() == ["Desk"]


def test_frozen_database_holds_no_request_and_no_thread(
    postgresql: PostgreSQL, product: Product
) -> None:
    router = Router(prefix="/free")

    @router.get("", dependencies=[public])
    def need_no_database() -> None:
        """Needs one of the threads, and nothing else."""

    product.app.include_router(router)
    at_once([lambda: product.client.get(ITEMS)] * 10)  # So that the pool is full.
    calls = [lambda: product.client.get(ITEMS), lambda: product.create("Lamp")] * 6
    postgresql.freeze()

    began_at = time.monotonic()
    at_first = at_once(calls)
    freed = [product.client.get("/free") for _ in range(10)]
    later = at_once(calls)  # They meet a pool whose connections have been given up.
    alive, ready = product.client.get("/health"), product.client.get("/health/ready")
    seconds = time.monotonic() - began_at
    postgresql.thaw()
    began_again_at = time.monotonic()
    again = at_once([lambda: product.client.get(ITEMS), lambda: product.create("Desk")] * 6)
    seconds_again = time.monotonic() - began_again_at

    codes = {answer.json()["error"] for answer in at_first + later}
    assert {answer.status_code for answer in at_first + later} == {503}
    assert {answer.status_code for answer in freed} == {200}
    assert codes <= {"REQUEST_TIMEOUT", "DATABASE_UNAVAILABLE"}
    assert all("retry-after" in answer.headers for answer in at_first + later)
    assert alive.status_code == 200
    assert_unavailable(ready)
    assert seconds < 2 * A_HANG
    assert {answer.status_code for answer in again} == {200, 201}
    assert seconds_again < A_HANG
    assert product.titles() == ["Desk"] * 6


def test_request_given_up_while_it_waits_for_a_thread_never_runs(product: Product) -> None:
    router = Router(prefix="/wait")
    begun, ran = Semaphore(0), []

    @router.post("/sleep", dependencies=[public])
    def be_slow() -> None:
        begun.release()
        time.sleep(4)

    @router.post("/note", dependencies=[public])
    def note() -> None:
        ran.append(1)

    product.app.include_router(router)
    with ThreadPoolExecutor(8) as clients:
        slow = [clients.submit(product.client.post, "/wait/sleep") for _ in range(2)]  # A share.
        assert all(begun.acquire(timeout=30) for _ in slow)
        waiting = [clients.submit(product.client.post, "/wait/note") for _ in range(5)]
    time.sleep(2)  # The threads have been free again for a while.

    for answer in slow + waiting:
        assert_unavailable(answer.result(), "REQUEST_TIMEOUT")
    assert ran == []


def test_request_given_up_in_mid_transaction_writes_nothing(product: Product) -> None:
    router = Router(prefix="/slow")

    @router.post("", dependencies=[public])
    def be_slow(db: DbSession) -> None:
        db.add(Item(title="Late", status=ItemStatus.DRAFT, owner_id=product.user_id))
        db.flush()
        time.sleep(3.5)

    product.app.include_router(router)

    refused = product.client.post("/slow")
    time.sleep(1)

    assert_unavailable(refused, "REQUEST_TIMEOUT")
    assert product.titles() == []
    assert [product.create("Lamp").status_code for _ in range(5)] == [201] * 5


def test_read_given_up_leaves_no_broken_connection_behind(product: Product) -> None:
    router = Router(prefix="/slow")

    @router.get("", dependencies=[public])
    def be_slow(db: DbSession) -> None:
        db.execute(text("SELECT 1"))
        time.sleep(3.5)

    product.app.include_router(router)

    refused = product.client.get("/slow")
    time.sleep(1)

    assert_unavailable(refused, "REQUEST_TIMEOUT")
    assert [product.create(f"Lamp {n}").status_code for n in range(10)] == [201] * 10


def test_fail_over_is_unavailable_and_leaves_the_stand_by(
    postgresql: PostgreSQL, product: Product
) -> None:
    """The server that the pool knows only reads from now on; another one writes."""
    product.client.get(ITEMS)
    known = connections_of(product)
    only_read(postgresql, "on")

    refused = product.create("Lamp")
    read = product.client.get(ITEMS)
    replaced = connections_of(product)
    only_read(postgresql, "off")
    written = product.create("Desk")

    assert_unavailable(refused)
    assert read.status_code == 200
    assert known
    assert known & replaced == set()
    assert written.status_code == 201
    assert product.titles() == ["Desk"]


def test_fail_over_in_mid_transaction_writes_nothing_half(
    postgresql: PostgreSQL, product: Product
) -> None:
    product.run(
        "CREATE FUNCTION demote() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "SET TRANSACTION READ ONLY; RETURN NEW; END $$"
    )
    product.run(
        "CREATE TRIGGER demote AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION demote()"
    )

    refused = product.create("Lamp")
    product.run("DROP TRIGGER demote ON items")

    assert_unavailable(refused)
    assert product.titles() == []
    assert product.create("Desk").status_code == 201


def only_read(postgresql: PostgreSQL, value: str) -> None:
    postgresql.run(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    postgresql.run("SELECT pg_reload_conf()")
    time.sleep(0.5)


def connections_of(product: Product) -> set[int]:
    rows = product.run(
        "SELECT pid FROM pg_stat_activity "
        "WHERE application_name = 'backdesk' AND datname = current_database()"
    )
    return {pid for (pid,) in rows}
