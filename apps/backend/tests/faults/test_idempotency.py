"""One key, sent to several processes, by clients that leave, past processes that die."""

import signal
from functools import partial

import httpx2
import pytest

from tests.faults.processes import ServerProcess
from tests.faults.product import ITEMS
from tests.racing import Call, at_once, statuses
from tests.services.postgresql import run

KEY = {"Idempotency-Key": "one-lamp"}
LAMP = {"title": "Lamp"}


def create(server: ServerProcess) -> httpx2.Response:
    return server.client.post(ITEMS, json=LAMP, headers=KEY)


def count_items(url: str) -> int:
    ((count,),) = run(url, "SELECT count(*) FROM items")
    return int(count)


def test_key_sent_to_two_processes_at_once_writes_one_row(
    servers: tuple[ServerProcess, ServerProcess], url: str
) -> None:
    calls: list[Call] = [partial(create, server) for server in servers * 4]

    answers = at_once(calls)

    assert statuses(answers) == {201: 8}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert count_items(url) == 1


def test_key_is_answered_by_another_process_when_its_own_died_before_the_answer(
    servers: tuple[ServerProcess, ServerProcess], url: str
) -> None:
    first, second = servers
    create(first)
    first.end(signal.SIGKILL)

    answer = create(second)

    assert (answer.status_code, answer.headers["idempotency-replayed"]) == (201, "true")
    assert count_items(url) == 1


def test_key_of_a_process_that_died_in_mid_transaction_is_free(
    servers: tuple[ServerProcess, ServerProcess], url: str
) -> None:
    first, second = servers
    run(
        url,
        "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_sleep(60); RETURN NEW; END $$",
    )
    run(url, "CREATE TRIGGER never AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION never()")
    with pytest.raises(httpx2.TimeoutException):
        first.client.post(ITEMS, json=LAMP, headers=KEY, timeout=0.5)
    first.end(signal.SIGKILL)
    run(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    )
    run(url, "DROP TRIGGER never ON items")

    answer = create(second)

    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers
    assert count_items(url) == 1
