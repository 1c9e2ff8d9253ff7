"""Work in threads: it ends in time, and runs again where the database asks for that."""

import asyncio
import math
import random
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar
from weakref import finalize

import structlog
from sqlalchemy.exc import DBAPIError

from app.core.errors import UnavailableError
from app.db.borrowing import Borrower, RequestTimeoutError
from app.db.integrity import is_contention

RUNS: Final = 3  # Of work that met others who changed the same rows.
READS: Final = 2  # Of a read whose connection turned out to be lost.
MAX_PAUSE_SECONDS: Final = 0.1

Result = TypeVar("Result")

log = structlog.get_logger("backdesk.threads")


class TooManyWaitingError(UnavailableError):
    code = "TOO_MANY_WAITING"
    text = "You have too many requests waiting. Try again in a moment."


class Threads:
    """A few threads that take work in turn, as an executor's do, at half of what its hand-over
    costs. No user has them all, unless there is one: what is beyond their share waits in a line of
    its own. They end with this object.
    """

    def __init__(
        self,
        count: int,
        *,
        name: str,
        at_start: Callable[[], None] = lambda: None,  # Of each thread, in it.
        most_waiting: float = math.inf,  # Of one user; with 0, nobody waits.
        refusal: type[UnavailableError] = TooManyWaitingError,
    ) -> None:
        self._count, self._name, self._at_start = count, name, at_start
        self._most_waiting, self._refusal = most_waiting, refusal
        self._share = count - max(1, count // 3) or 1  # At least a third is left to others.
        self._ready: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting = defaultdict[str, deque[_Job]](deque)
        self._places = defaultdict[str, int](int)  # Whose work is ready, or in a thread.
        self._started = 0
        self._lock = Lock()

    def start(self, work: Callable[[], Result], *, whose: str = "") -> asyncio.Future[Result]:
        """Work whose future is cancelled while it waits for a thread never runs. Nobody's has no
        bounds. Raises UnavailableError.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = self, whose, work, future
        with self._lock:
            if self._most_waiting == 0 and sum(self._places.values()) >= self._count:
                raise self._refusal
            if whose and self._places[whose] >= self._share:
                if len(self._waiting[whose]) >= self._most_waiting:
                    raise self._refusal
                self._waiting[whose].append(job)
            else:
                self._places[whose] += 1
                self._ready.put(job)
                if self._started < self._count and self._started < sum(self._places.values()):
                    self._start_thread()
        return future

    def _start_thread(self) -> None:
        self._started += 1
        name, arguments = f"{self._name}_{self._started}", (self._ready, self._at_start)
        Thread(target=_take_jobs, args=arguments, name=name, daemon=True).start()
        finalize(self, self._ready.put, None)

    def note_end(self, whose: str) -> "_Job | None":
        """Return what the thread goes on with; None where it takes its turn."""
        with self._lock:
            if waiting := self._waiting.get(whose):
                job = waiting.popleft()
                if self._ready.empty():
                    return job
                self._ready.put(job)
                return None
            self._waiting.pop(whose, None)
            self._places[whose] -= 1
            if not self._places[whose]:
                del self._places[whose]
            return None


_Job = tuple[Threads, str, Callable[[], Any], asyncio.Future[Any]]


def _take_jobs(ready: "SimpleQueue[_Job | None]", at_start: Callable[[], None]) -> None:
    at_start()
    following = None
    while (job := following or ready.get()) is not None:
        threads, whose, work, future = job
        if not future.cancelled():
            try:
                settled = future.set_result, work()
            except BaseException as error:  # noqa: BLE001  Whoever waits for the future gets it.
                settled = future.set_exception, error
            with suppress(RuntimeError):  # The loop has ended meanwhile.
                future.get_loop().call_soon_threadsafe(_settle, future, *settled)
            del settled
        following = threads.note_end(whose)
        del job, threads, work, future  # Whatever they hold must not wait for the next one.


def _settle(future: asyncio.Future[Any], tell: Callable[[Any], None], outcome: Any) -> None:
    if not future.done():
        tell(outcome)


async def run_in_time(
    threads: Threads,
    work: Callable[[], Result],
    *,
    seconds: float,
    whose: str = "",
    is_read: bool = False,
) -> Result:
    """Run the work as a whole, once or more often, in a thread. Raises RequestTimeoutError,
    TooManyWaitingError.

    When the time is up, work that still waits for a thread never runs, and work that waits for
    the database loses its connection, so that its thread is free again.
    """
    borrower = Borrower()
    context = borrower.context()
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            for runs in range(1, RUNS + 1):
                try:
                    return await threads.start(partial(context.run, work), whose=whose)
                except DBAPIError as error:
                    is_lost_read = is_read and error.connection_invalidated
                    if runs >= (RUNS if is_contention(error) else READS if is_lost_read else 1):
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
