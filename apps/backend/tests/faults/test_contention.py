"""Locks, deadlocks, serialisation failures and time-outs, each caused for real."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, text

from app.api.deps import DbSession, public
from app.api.routing import Router
from app.db.session import get_engine
from app.models import Item
from app.schemas.item import ItemStatus
from tests.assertions import assert_error
from tests.faults.product import ITEMS, Product, at_once, in_background

Serve = Callable[..., AbstractContextManager[Product]]


@contextmanager
def outsider(product: Product) -> Iterator[Connection]:
    """A transaction that somebody else has begun."""
    engine = create_engine(product.url)
    with engine.connect() as connection:
        connection.execute(text("SET deadlock_timeout = '30s'"))  # The other side finds out first.
        yield connection
    engine.dispose()


def wait_until_blocked(product: Product) -> None:
    """Wait until the product waits for a lock."""
    deadline = time.monotonic() + 5
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while product.run(waiting) == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_deadlock_ends_with_both_done(serve: Serve) -> None:
    with serve(STATEMENT_TIMEOUT_SECONDS="8", REQUEST_TIMEOUT_SECONDS="10") as product:
        url = f"{ITEMS}{product.item_id}"
        change = {"owner_id": product.user_id}
        with outsider(product) as other:
            other.execute(
                text("SELECT id FROM users WHERE id = :id FOR UPDATE"), {"id": product.user_id}
            )
            with in_background(lambda: product.client.patch(url, json=change)) as answer:
                wait_until_blocked(product)
                other.execute(
                    text("UPDATE items SET description = 'theirs' WHERE id = :id"),
                    {"id": product.item_id},
                )
                other.commit()
                response = answer.result()

        assert response.status_code == 200
        assert response.json()["owner_id"] == product.user_id
        assert response.json()["description"] == "theirs"
        assert deadlocks(product) == 1


def deadlocks(product: Product) -> int:
    deadline = time.monotonic() + 10
    counted = 0
    while counted == 0 and time.monotonic() < deadline:  # Statistics come a moment later.
        time.sleep(0.1)
        rows = product.run(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        counted = rows[0][0]
    return counted


def test_serialisation_failure_runs_again_on_what_others_have_written(serve: Serve) -> None:
    with serve() as product:
        make_repeatable_reads_the_default(product)
        url = f"{ITEMS}{product.item_id}"
        with outsider(product) as other:
            other.execute(
                text(
                    "UPDATE items SET description = 'theirs', version = version + 1 WHERE id = :i"
                ),
                {"i": product.item_id},
            )
            with in_background(lambda: product.client.patch(url, json={"title": "Ours"})) as answer:
                wait_until_blocked(product)
                other.commit()
                response = answer.result()

        assert response.status_code == 200
        assert response.json()["title"] == "Ours"
        assert response.json()["description"] == "theirs"


def test_edits_at_once_under_repeatable_read_are_all_answered(serve: Serve) -> None:
    with serve() as product:
        make_repeatable_reads_the_default(product)
        url = f"{ITEMS}{product.item_id}"

        def edit(number: int) -> Callable[[], Any]:
            return lambda: product.client.patch(url, json={"description": f"by {number}"})

        answers = at_once([edit(number) for number in range(12)])

        done = [answer for answer in answers if answer.status_code == 200]
        for answer in answers:
            if answer.status_code != 200:
                assert_error(answer, 503, "CONTENDED")
        versions = sorted(answer.json()["version"] for answer in done)
        assert done
        assert versions == list(range(2, 2 + len(done)))  # Each saw the one before: none is lost.
        assert product.run("SELECT version FROM items") == [(versions[-1],)]


def make_repeatable_reads_the_default(product: Product) -> None:
    name = product.url.rpartition("/")[2]
    product.run(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")


def test_unit_that_never_succeeds_runs_three_times_and_is_unavailable(product: Product) -> None:
    product.run("CREATE SEQUENCE runs")
    product.run(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM nextval('runs'); RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"
    )
    product.run("CREATE TRIGGER fail AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION fail()")

    refused = product.create("Lamp")

    assert_error(refused, 503, "CONTENDED")
    assert int(refused.headers["retry-after"]) >= 1
    assert product.run("SELECT last_value FROM runs") == [(3,)]
    assert product.titles() == []


def test_refusal_runs_once(product: Product) -> None:
    product.run("CREATE SEQUENCE runs")
    product.run(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM nextval('runs'); RAISE EXCEPTION 'x' USING ERRCODE = '55P03'; END $$"
    )
    product.run("CREATE TRIGGER fail AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION fail()")

    refused = product.create("Lamp")

    assert_error(refused, 409, "LOCKED")
    assert product.run("SELECT last_value FROM runs") == [(1,)]


def test_lock_that_others_keep_is_refused_in_time(product: Product) -> None:
    with outsider(product) as other:
        other.execute(
            text("SELECT id FROM items WHERE id = :id FOR UPDATE"), {"id": product.item_id}
        )
        refused = product.client.patch(f"{ITEMS}{product.item_id}", json={"title": "Ours"})

    assert_error(refused, 409, "LOCKED")
    again = product.client.patch(f"{ITEMS}{product.item_id}", json={"title": "Ours"})
    assert again.status_code == 200


def test_statement_that_takes_too_long_is_ended_by_the_database(product: Product) -> None:
    product.run(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_sleep(60); RETURN NEW; END $$"
    )
    product.run(
        "CREATE TRIGGER dawdle AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )

    refused = product.create("Lamp")

    assert_error(refused, 503, "STATEMENT_TIMEOUT")
    assert int(refused.headers["retry-after"]) >= 1
    assert product.titles() == []


def test_transaction_that_idles_is_ended_by_the_database(serve: Serve) -> None:
    with serve(STATEMENT_TIMEOUT_SECONDS="0.3") as product:
        router = Router(prefix="/idle")

        @router.post("", dependencies=[public])
        def idle(db: DbSession) -> None:
            db.add(Item(title="Idle", status=ItemStatus.DRAFT, owner_id=product.user_id))
            db.flush()
            time.sleep(1.5)

        product.app.include_router(router)

        refused = product.client.post("/idle")

        assert_error(refused, 503, "DATABASE_UNAVAILABLE")
        assert product.titles() == []
        assert product.create("Lamp").status_code == 201


def test_pool_without_a_free_connection_is_unavailable_in_time(serve: Serve) -> None:
    with serve(DB_POOL_TIMEOUT_SECONDS="0.3", DB_POOL_SIZE="1") as product:
        router = Router(prefix="/greedy")

        @router.get("", dependencies=[public])
        def take_all() -> None:
            pool = get_engine()
            held = []
            try:
                while True:
                    held.append(pool.connect())
            finally:
                for connection in held:
                    connection.close()

        product.app.include_router(router)

        refused = product.client.get("/greedy")

        assert_error(refused, 503, "DATABASE_UNAVAILABLE")
        assert int(refused.headers["retry-after"]) >= 1
        assert product.client.get(ITEMS).status_code == 200
