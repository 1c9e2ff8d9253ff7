"""Requests that arrive at once, each from a thread of its own."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from httpx2 import Response
from sqlalchemy import text
from sqlalchemy.orm import Session

Call = Callable[[], Response]


def at_once(calls: Sequence[Call]) -> list[Response]:
    barrier = Barrier(len(calls))

    def run(call: Call) -> Response:
        barrier.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def statuses(responses: Sequence[Response]) -> dict[int, int]:
    return dict(Counter(response.status_code for response in responses))


def wait_until_somebody_waits_for_a_lock(db: Session) -> None:
    """On PostgreSQL."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    deadline = time.monotonic() + 30
    while not db.scalar(waiting):
        assert time.monotonic() < deadline
        time.sleep(0.01)
