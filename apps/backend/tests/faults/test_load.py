"""Two servers write at full load while each of them, PostgreSQL and Redis are killed in turn."""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.faults.processes import ServerProcess, running
from tests.faults.product import TIMES
from tests.services.postgresql import PostgreSQL, run
from tests.services.redis import RedisServer

WRITERS: Final = 4
BACK_SECONDS: Final = 5  # After a restart.
CALM_SECONDS: Final = 1.5  # Between one fault and the next.
# What a request may take, and what a busy machine adds to it.
BOUND_SECONDS: Final = float(TIMES["REQUEST_TIMEOUT_SECONDS"]) + 4


@dataclass
class Run:
    servers: list[ServerProcess]
    written: list[str] = field(default_factory=list)
    slowest_seconds: float = 0
    is_over: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def write_until_over(self) -> None:
        while not self.is_over.is_set():
            number = next(self.numbers)
            if self.write(self.servers[number % 2], f"Item {number}") is None:
                time.sleep(0.02)

    def write(self, server: ServerProcess, title: str) -> int | None:
        """Return the status, or None where nobody answered."""
        began_at = time.monotonic()
        try:
            answer = server.create(title)
        except httpx2.TransportError:
            return None
        finally:
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began_at)
        if answer.is_success:
            self.written.append(title)
        else:
            assert answer.status_code == 503, answer.text
        return answer.status_code

    def seconds_until_back(self) -> float:
        """Return how long it takes until both servers write again."""
        began_at = time.monotonic()
        for server in self.servers:
            while self.write(server, f"Item {next(self.numbers)}") != 201:
                assert time.monotonic() - began_at < 2 * BACK_SECONDS
                time.sleep(0.05)
        return time.monotonic() - began_at


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def test_what_was_answered_is_written_whatever_was_killed_meanwhile(
    postgresql: PostgreSQL, redis: RedisServer, tmp_path: Path
) -> None:
    url = postgresql.new_database()
    settings = {
        **TIMES,
        "REDIS_URL": redis.url,
        "RATE_LIMIT_USER": "1000000/minute",
    }
    servers = [ServerProcess(url, tmp_path / f"log{number}", settings) for number in range(2)]
    under_load = Run(servers)
    faults: list[tuple[Callable[[], object], Callable[[], None]]] = [
        *((kill(server), server.start) for server in servers),
        (postgresql.kill, postgresql.start),
        (redis.stop, redis.start),
    ]

    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(running(server))
        writers = stack.enter_context(ThreadPoolExecutor(WRITERS))
        stack.callback(under_load.is_over.set)
        at_work = [writers.submit(under_load.write_until_over) for _ in range(WRITERS)]
        seconds = []
        for end, start in faults:
            time.sleep(CALM_SECONDS)
            end()
            time.sleep(CALM_SECONDS)
            start()
            seconds.append(under_load.seconds_until_back())
        under_load.is_over.set()
        for writer in at_work:
            writer.result()

    found = [title for (title,) in run(url, "SELECT title FROM items")]
    assert len(under_load.written) > 100
    assert set(under_load.written) - set(found) == set()
    assert len(found) == len(set(found))
    assert under_load.slowest_seconds < BOUND_SECONDS
    assert max(seconds) < BACK_SECONDS


def kill(server: ServerProcess) -> Callable[[], int]:
    return lambda: server.end(signal.SIGKILL)
