"""Work in threads: it ends in time, and runs again where the database asks for that."""

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Final, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from app.db.borrowing import Borrower, RequestTimeoutError
from app.db.integrity import is_contention

RUNS: Final = 3  # Of work that met others who changed the same rows.
READS: Final = 2  # Of a read whose connection turned out to be lost.
MAX_PAUSE_SECONDS: Final = 0.1

Result = TypeVar("Result")

log = structlog.get_logger("backdesk.threads")


async def run_in_time(
    threads: Executor | None, work: Callable[[], Result], *, seconds: float, is_read: bool = False
) -> Result:
    """Run the work as a whole, once or more often, in a thread. Raises RequestTimeoutError.

    When the time is up, work that still waits for a thread never runs, and work that waits for
    the database loses its connection, so that its thread is free again.
    """
    borrower = Borrower()
    context = copy_context()
    context.run(borrower.begin)
    loop = asyncio.get_running_loop()
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            for runs in range(1, RUNS + 1):
                try:
                    return await loop.run_in_executor(threads, context.run, work)
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
