"""Processes end, orderly or not: what was answered is written, and nothing is written half."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPResponse
from pathlib import Path
from typing import Final

import httpx2
import pytest

from app.cli.server import GRACE_SECONDS
from tests.assertions import assert_error
from tests.faults.processes import ServerProcess, running
from tests.faults.product import ITEMS, TIMES
from tests.services.postgresql import PostgreSQL, run

THREADS: Final = int(TIMES["DB_POOL_SIZE"]) - 1  # The share of one user.
REQUESTS: Final = 2 * THREADS


@pytest.fixture
def served(url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    with running(ServerProcess(url, tmp_path / "log", TIMES)) as server:
        yield server


def titles(url: str) -> list[str]:
    return [title for (title,) in run(url, "SELECT title FROM items ORDER BY title")]


def wait_for(url: str, expected: list[str]) -> None:
    deadline = time.monotonic() + 10
    while titles(url) != expected and time.monotonic() < deadline:
        time.sleep(0.1)


def let_inserts_take_a_while(url: str) -> None:
    run(
        url,
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_sleep(0.7); RETURN NEW; END $$",
    )
    run(url, "CREATE TRIGGER dawdle AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION dawdle()")


def wait_until_every_thread_inserts(url: str) -> None:
    at_work = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'active' AND query LIKE 'BEGIN; %'"  # Together with the INSERT.
    )
    deadline = time.monotonic() + 10
    while len(run(url, at_work)) < THREADS:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_process_that_dies_between_commit_and_answer_has_written(url: str, tmp_path: Path) -> None:
    crashing = ("uvicorn", "tests.faults.crashing:create", "--factory")
    with running(ServerProcess(url, tmp_path / "log", TIMES, crashing)) as server:
        with pytest.raises(httpx2.TransportError):
            server.create("Lamp")
        code = server.process.wait(timeout=10)

    with running(ServerProcess(url, tmp_path / "log", TIMES)) as restarted:
        found = restarted.client.get(ITEMS).json()

    assert code == 9
    assert [item["title"] for item in found] == ["Lamp"]


def test_process_that_is_told_to_end_answers_all_that_it_has_accepted(
    url: str, served: ServerProcess
) -> None:
    let_inserts_take_a_while(url)
    names = [f"Lamp {number}" for number in range(REQUESTS)]

    with ExitStack() as stack:
        connections = [
            stack.enter_context(closing(send(served, f'{{"title": "{name}"}}'))) for name in names
        ]
        wait_until_every_thread_inserts(url)
        began_at = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        statuses = [status_of(connection) for connection in connections]
    served.process.wait(timeout=20)
    seconds = time.monotonic() - began_at

    assert statuses == [201] * REQUESTS
    assert titles(url) == names
    assert seconds < float(TIMES["REQUEST_TIMEOUT_SECONDS"]) + GRACE_SECONDS
    with pytest.raises(httpx2.ConnectError):
        served.create("Late")


def test_process_that_is_killed_leaves_nothing_half(url: str, served: ServerProcess) -> None:
    let_inserts_take_a_while(url)

    with ExitStack() as stack:
        for _ in range(REQUESTS):
            stack.enter_context(closing(send(served, '{"title": "Lamp"}')))
        wait_until_every_thread_inserts(url)
        served.end(signal.SIGKILL)
    time.sleep(1.5)  # PostgreSQL ends the statement that it is at, and finds nobody there.

    assert titles(url) == []
    assert run(url, "SELECT count(*) FROM audit_events WHERE resource_type = 'item'") == [(0,)]


def test_start_without_tables_says_so_and_serves_as_soon_as_they_are_there(
    url: str, tmp_path: Path
) -> None:
    server = ServerProcess(url, tmp_path / "log", TIMES)
    run(url, "ALTER SCHEMA public RENAME TO hidden")
    run(url, "CREATE SCHEMA public")

    with running(server):
        refused = server.create("Lamp")
        said = server.log.read_text()
        run(url, "DROP SCHEMA public")
        run(url, "ALTER SCHEMA hidden RENAME TO public")
        done = server.create("Lamp")

    assert_error(refused, 503, "SCHEMA_NOT_READY")
    assert int(refused.headers["retry-after"]) >= 1
    assert "schema not ready" in said
    assert done.status_code == 201


def test_start_without_a_database_says_so_and_serves_as_soon_as_it_is_there(
    postgresql: PostgreSQL, url: str, tmp_path: Path
) -> None:
    server = ServerProcess(url, tmp_path / "log", TIMES)
    postgresql.stop()

    with running(server):
        refused = server.create("Lamp")
        said = server.log.read_text()
        postgresql.start()
        done = server.create("Lamp")

    assert_error(refused, 503, "DATABASE_UNAVAILABLE")
    assert "database unavailable" in said
    assert done.status_code == 201


def test_worker_that_is_killed_is_replaced_and_the_others_serve_on(
    url: str, tmp_path: Path
) -> None:
    command = ("app.cli", "serve", "--workers", "2")
    with running(ServerProcess(url, tmp_path / "log", TIMES, command)) as server:
        before = workers(server, 2)
        os.kill(before[0], signal.SIGKILL)

        attempts = [try_to_create(server, f"Lamp {number:02}") for number in range(20)]
        after = workers(server, 2, without=before[0])

    answered = [title for title in attempts if title is not None]
    assert len(answered) >= 15
    assert set(answered) <= set(titles(url))
    assert len(after) == 2


def try_to_create(server: ServerProcess, title: str) -> str | None:
    """Return the title if the answer says that it is written."""
    try:
        answer = server.create(title)
    except httpx2.TransportError:
        return None  # The one that was killed had taken the connection.
    return title if answer.status_code == 201 else None


def workers(server: ServerProcess, count: int, *, without: int = 0) -> list[int]:
    deadline = time.monotonic() + 20
    found: list[int] = []
    while len(found) < count and time.monotonic() < deadline:
        time.sleep(0.1)
        found = [pid for pid in server.workers() if pid != without]
    return found


def test_client_that_leaves_in_mid_request_has_written_all_or_nothing(
    url: str, served: ServerProcess
) -> None:
    whole = [f"Whole {number}" for number in range(5)]
    for title in whole:
        send(served, f'{{"title": "{title}"}}').close()
    for _ in range(5):
        send(served, '{"title": "Half"}', cut=4).close()
    wait_for(url, whole)

    answers = [served.create(f"X {number}") for number in range(5)]

    assert [answer.status_code for answer in answers] == [201] * 5
    assert titles(url) == [*whole, *(f"X {number}" for number in range(5))]


def send(server: ServerProcess, body: str, *, cut: int = 0) -> socket.socket:
    """Send a request, all of it or without the last bytes, and do not wait for the answer."""
    authorization = server.client.headers["Authorization"]
    head = (
        f"POST {ITEMS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: {authorization}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall((head + body[: len(body) - cut]).encode())
    return connection


def status_of(connection: socket.socket) -> int:
    with closing(HTTPResponse(connection)) as response:
        response.begin()
        return response.status
