"""A server that is told to end: who is in is answered, who comes later is refused at once."""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from tests.faults.processes import ServerProcess, running
from tests.faults.product import ITEMS, TIMES
from tests.faults.test_processes import send, status_of, titles, workers
from tests.services.postgresql import run

SLOW: Final = {**TIMES, "STATEMENT_TIMEOUT_SECONDS": "10", "REQUEST_TIMEOUT_SECONDS": "12"}
DELAY_SECONDS: Final = 2
A_HANG: Final = 20

Serve = Callable[..., AbstractContextManager[ServerProcess]]


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def serve(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Serve:
    command = ("app.cli", "serve", "--workers", str(request.param))

    @contextmanager
    def serve(**settings: str) -> Iterator[ServerProcess]:
        with running(ServerProcess(url, tmp_path / "log", SLOW | settings, command)) as server:
            if request.param > 1:
                workers(server, request.param)
                time.sleep(1)  # Until the second one listens, too.
            yield server

    return serve


def sigterm(server: ServerProcess) -> None:
    server.process.send_signal(signal.SIGTERM)


def ctrl_c(server: ServerProcess) -> None:
    """A terminal tells all of its processes."""
    for pid in (*server.workers(), server.process.pid):
        os.kill(pid, signal.SIGINT)


@pytest.fixture(params=[sigterm, ctrl_c])
def tell(request: pytest.FixtureRequest) -> Callable[[ServerProcess], None]:
    told: Callable[[ServerProcess], None] = request.param
    return told


def ask(server: ServerProcess, path: str = "/health") -> int | None:
    """Return the status; None where the connection is refused. Whoever gets in is answered."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=A_HANG)) as connection:
        try:
            connection.connect()
        except ConnectionRefusedError:
            return None
        connection.request("GET", path, headers=dict(server.client.headers))
        return connection.getresponse().status


def ask_until_refused(server: ServerProcess, path: str = "/health") -> list[int]:
    statuses = []
    while (status := ask(server, path)) is not None:
        statuses.append(status)
        assert len(statuses) < 10_000
    return statuses


@contextmanager
def slow_request(server: ServerProcess) -> Iterator[socket.socket]:
    url = server.database_url
    run(
        url,
        "CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_sleep(5); RETURN NEW; END $$",
    )
    run(url, "CREATE TRIGGER dawdle AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION dawdle()")
    at_work = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'BEGIN; %'"
    with closing(send(server, '{"title": "Lamp"}')) as connection:
        deadline = time.monotonic() + A_HANG
        while not run(url, at_work):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield connection


def is_answered(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


def test_new_connections_are_refused_while_running_requests_finish(
    serve: Serve, tell: Callable[[ServerProcess], None]
) -> None:
    with serve() as server, slow_request(server) as connection:
        tell(server)
        statuses = ask_until_refused(server)

        assert not is_answered(connection)
        assert set(statuses) <= {200}
        assert [ask(server) for _ in range(20)] == [None] * 20
        assert status_of(connection) == 201
        server.process.wait(timeout=A_HANG)
        assert titles(server.database_url) == ["Lamp"]


def test_server_is_not_ready_for_a_while_before_it_ends(
    serve: Serve, tell: Callable[[ServerProcess], None]
) -> None:
    with serve(SHUTDOWN_DELAY_SECONDS=str(DELAY_SECONDS)) as server:
        before = ask(server, "/health/ready")
        tell(server)
        deadline = time.monotonic() + A_HANG
        while (status := ask(server, "/health/ready")) != 503:
            assert (status, time.monotonic() < deadline) == (200, True)
        served = [ask(server, path) for path in ("/health", ITEMS)]
        refusal = server.client.get("/health/ready").json()
        ready = ask_until_refused(server, "/health/ready")

        assert before == 200
        assert served == [200, 200]
        assert refusal["error"] == "SHUTTING_DOWN"
        assert len(ready) > 1
        assert ask(server) is None
        server.process.wait(timeout=A_HANG)


def test_request_on_a_kept_connection_is_answered_as_the_server_ends(serve: Serve) -> None:
    with serve() as server, closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.connect()
        ask_on(connection)
        with closing(HTTPConnection("127.0.0.1", server.port)) as silent:
            silent.connect()
            time.sleep(0.2)
            sigterm(server)
            while ask(server) is not None:
                pass
            answers = [ask_on(one) for one in (connection, silent)]

        assert answers == [(200, "close")] * 2


def ask_on(connection: HTTPConnection) -> tuple[int, str | None]:
    connection.request("GET", "/health")
    response = connection.getresponse()
    response.read()
    return response.status, response.headers["connection"]


def test_second_ctrl_c_does_not_wait(serve: Serve) -> None:
    with serve(SHUTDOWN_DELAY_SECONDS="600") as server:
        ctrl_c(server)
        while ask(server, "/health/ready") != 503:
            pass
        ctrl_c(server)

        assert server.process.wait(timeout=A_HANG) is not None
