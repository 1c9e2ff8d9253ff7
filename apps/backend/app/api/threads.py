"""Work in threads: it ends in time, and runs again where the database asks for that."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar
from weakref import finalize

import structlog
from sqlalchemy.exc import DBAPIError

from app.db.borrowing import Borrower, RequestTimeoutError
from app.db.integrity import is_contention

RUNS: Final = 3  # Of work that met others who changed the same rows.
READS: Final = 2  # Of a read whose connection turned out to be lost.
MAX_PAUSE_SECONDS: Final = 0.1

Result = TypeVar("Result")

log = structlog.get_logger("backdesk.threads")


_Job = tuple[Callable[[], Any], asyncio.Future[Any]]


class _Jobs:
    """What waits for the threads, and how much of it, or of what they are at, there is."""

    def __init__(self) -> None:
        self.waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self.unfinished = 0
        self.lock = Lock()

    def add(self, job: _Job) -> int:
        with self.lock:
            self.unfinished += 1
            unfinished = self.unfinished
        self.waiting.put(job)
        return unfinished

    def note_end(self) -> None:
        with self.lock:
            self.unfinished -= 1


class Threads:
    """A few threads that take work in turn, as an executor's do, at half of what its hand-over
    costs. They end with this object.
    """

    def __init__(
        self, count: int, *, name: str, at_start: Callable[[], None] = lambda: None
    ) -> None:
        self.at_start = at_start  # Of each thread, in it.
        self._count = count
        self._name = name
        self._jobs = _Jobs()
        self._started = 0

    def start(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        """Work whose future is cancelled while it waits for a thread never runs."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        if self._jobs.add((work, future)) > self._started < self._count:
            self._start_thread()
        return future

    def _start_thread(self) -> None:
        self._started += 1
        thread = Thread(
            target=_take_jobs,
            args=(self._jobs, self.at_start),
            name=f"{self._name}_{self._started}",
            daemon=True,
        )
        thread.start()
        finalize(self, self._jobs.waiting.put, None)


def _take_jobs(jobs: _Jobs, at_start: Callable[[], None]) -> None:
    at_start()
    while (job := jobs.waiting.get()) is not None:
        work, future = job
        if not future.cancelled():
            settle = _outcome_of(work)
            with suppress(RuntimeError):  # The loop has ended meanwhile.
                future.get_loop().call_soon_threadsafe(settle, future)
        jobs.note_end()
        del job, work, future  # Whatever they hold must not wait for the next one.


def _outcome_of(work: Callable[[], Any]) -> Callable[[asyncio.Future[Any]], None]:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  Whoever waits for the future gets it.
        return partial(_fail, error)
    return partial(_succeed, result)


def _succeed(result: Any, future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(result)


def _fail(error: BaseException, future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(error)


async def run_in_time(
    threads: Threads, work: Callable[[], Result], *, seconds: float, is_read: bool = False
) -> Result:
    """Run the work as a whole, once or more often, in a thread. Raises RequestTimeoutError.

    When the time is up, work that still waits for a thread never runs, and work that waits for
    the database loses its connection, so that its thread is free again.
    """
    borrower = Borrower()
    context = copy_context()
    context.run(borrower.begin)
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            for runs in range(1, RUNS + 1):
                try:
                    return await threads.start(partial(context.run, work))
                except DBAPIError as error:
                    if runs >= _runs_after(error, is_read=is_read):
                        raise
                    log.warning("run again", runs=runs, error=type(error.orig).__name__)
                # Those who met should not meet again.
                await asyncio.sleep(random.uniform(0, MAX_PAUSE_SECONDS))  # noqa: S311  No secret.
    except TimeoutError:
        if not timer.expired():
            raise
        borrower.give_up()
        raise RequestTimeoutError from None
    raise AssertionError  # The last run has returned or raised.


def _runs_after(error: DBAPIError, *, is_read: bool) -> int:
    if is_contention(error):
        return RUNS
    return READS if is_read and error.connection_invalidated else 1
