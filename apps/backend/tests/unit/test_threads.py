"""The threads that requests run in."""

import asyncio
import threading
import weakref

import pytest

from app.api.threads import Threads

SECONDS = 5


def test_threads_take_work_beside_one_that_is_stuck_and_given_up() -> None:
    begun, stuck = threading.Event(), threading.Event()

    def get_stuck() -> None:
        begun.set()
        stuck.wait()

    async def work() -> str:
        threads = Threads(2, name="test")
        given_up = threads.start(get_stuck)
        begun.wait(SECONDS)  # Now it cannot be called back.
        given_up.cancel()
        try:
            return await asyncio.wait_for(threads.start(lambda: "done"), SECONDS)
        finally:
            stuck.set()

    assert asyncio.run(work()) == "done"


def test_threads_never_begin_what_was_cancelled_while_it_waited() -> None:
    async def work() -> list[str]:
        threads, busy, begun = Threads(1, name="test"), threading.Event(), []
        first = threads.start(busy.wait)
        second = threads.start(lambda: begun.append("second"))
        third = threads.start(lambda: begun.append("third"))
        second.cancel()
        busy.set()
        await asyncio.wait_for(asyncio.gather(first, third), SECONDS)
        return begun

    assert asyncio.run(work()) == ["third"]


def test_threads_hand_over_what_work_raises() -> None:
    def fail() -> None:
        raise LookupError("no such lamp")

    async def work() -> None:
        await Threads(1, name="test").start(fail)

    with pytest.raises(LookupError, match="no such lamp"):
        asyncio.run(work())


def test_threads_end_with_their_owner() -> None:
    async def work() -> str:
        threads = Threads(1, name="mortal")
        return await threads.start(lambda: threading.current_thread().name)

    name = asyncio.run(work())

    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(SECONDS)
    assert name not in {thread.name for thread in threading.enumerate()}


def test_threads_keep_nothing_of_what_they_have_done() -> None:
    class Answer:
        """Large, say."""

    async def look() -> Answer | None:
        threads = Threads(2, name="test")
        answer = weakref.ref(await threads.start(Answer))
        for _ in range(100):  # The thread takes its next turn a moment later.
            if answer() is None:
                break
            await asyncio.sleep(0.01)
        return answer()

    assert asyncio.run(look()) is None
