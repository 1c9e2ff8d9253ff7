"""Who makes an answer, who waits, and what is kept. Requests are in
tests/api/test_statistics_cache.py.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from threading import Barrier, Event
from typing import Any

import pytest
import time_machine
from redis import Redis

from app.core.cache import KEPT_IN_MEMORY, PREFIX, Cache
from app.core.config import Settings
from app.core.logging import configure_logging
from tests.services.redis import RedisServer

MakeCache = Callable[..., Cache]
THREADS = 12


@pytest.fixture
def make_cache() -> Iterator[MakeCache]:
    with ExitStack() as stack:

        def make_cache(
            redis_url: str | None = None, *, seconds: int = 60, **options: float
        ) -> Cache:
            settings = Settings(STATISTICS_CACHE_SECONDS=seconds, REDIS_URL=redis_url)
            cache = Cache(settings, **options)
            stack.callback(cache.close)
            return cache

        yield make_cache


class Maker:
    """Numbers the answers that it makes, each once `go_on` is set."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.has_begun, self.go_on = Event(), Event()
        self.go_on.set()

    def __call__(self) -> dict[str, Any]:
        number = next(self._numbers)
        self.has_begun.set()
        assert self.go_on.wait(30)
        return {"number": number}


def at_once(caches: list[Cache], make: Maker) -> list[dict[str, Any]]:
    """Ask every cache from several threads, while the answer takes its time."""
    barrier = Barrier(THREADS)
    make.go_on.clear()

    def ask(number: int) -> dict[str, Any]:
        barrier.wait(30)
        return caches[number % len(caches)].get_or_create("key", make)

    with ThreadPoolExecutor(THREADS) as threads:
        asked = [threads.submit(ask, number) for number in range(THREADS)]
        assert make.has_begun.wait(30)
        make.go_on.set()
        return [one.result() for one in asked]


def test_answer_is_made_once_for_many_threads(make_cache: MakeCache) -> None:
    answers = at_once([make_cache()], Maker())

    assert answers == [{"number": 1}] * THREADS


def test_answer_is_made_once_for_many_processes(make_cache: MakeCache, redis: RedisServer) -> None:
    answers = at_once([make_cache(redis.url) for _ in range(3)], Maker())

    assert answers == [{"number": 1}] * THREADS


@pytest.mark.parametrize("fault", ["frozen", "gone"])
def test_answer_is_made_once_in_a_process_while_redis_is_out(
    make_cache: MakeCache, redis: RedisServer, fault: str
) -> None:
    redis.freeze() if fault == "frozen" else redis.stop()

    answers = at_once([make_cache(redis.url)], Maker())

    assert answers == [{"number": 1}] * THREADS


def test_each_key_has_an_answer_of_its_own(make_cache: MakeCache) -> None:
    cache, make = make_cache(), Maker()

    answers = [cache.get_or_create(key, make)["number"] for key in ("one", "two", "one")]

    assert answers == [1, 2, 1]


def test_answer_is_kept_for_no_longer_than_it_may(make_cache: MakeCache) -> None:
    cache, make = make_cache(), Maker()

    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        answers = []
        for seconds in (0, 44, 2, 44, 600):
            clock.shift(seconds)
            answers.append(cache.get_or_create("key", make)["number"])

    assert answers == [1, 1, 2, 2, 3]


def test_answer_is_kept_no_longer_when_the_clock_is_set_back(make_cache: MakeCache) -> None:
    cache, make = make_cache(), Maker()

    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        answers = [cache.get_or_create("key", make)["number"]]
        for seconds in (-3600, 59, 2):
            clock.shift(seconds)
            answers.append(cache.get_or_create("key", make)["number"])

    assert answers == [1, 1, 1, 2]


def test_answer_is_not_kept_where_that_is_switched_off(make_cache: MakeCache) -> None:
    cache, make = make_cache(seconds=0), Maker()

    assert [cache.get_or_create("key", make)["number"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("shared", [False, True])
def test_nobody_waits_while_an_answer_is_renewed(
    make_cache: MakeCache, redis: RedisServer, shared: bool
) -> None:
    url = redis.url if shared else None
    cache, make = make_cache(url), Maker()
    other = make_cache(url) if shared else cache

    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        cache.get_or_create("key", make)
        make.has_begun.clear()
        make.go_on.clear()
        clock.shift(50)
        with ThreadPoolExecutor(1) as thread:
            renewal = thread.submit(cache.get_or_create, "key", make)
            assert make.has_begun.wait(30)
            meanwhile = other.get_or_create("key", make)
            make.go_on.set()

    assert (meanwhile, renewal.result()) == ({"number": 1}, {"number": 2})


def test_failure_is_not_kept_and_leaves_the_turn(make_cache: MakeCache, redis: RedisServer) -> None:
    cache = make_cache(redis.url)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.get_or_create("key", lambda: {"number": 1 // 0})

    assert cache.get_or_create("key", Maker()) == {"number": 1}


def test_turn_of_a_dead_process_holds_nobody_for_ever(
    make_cache: MakeCache, redis: RedisServer
) -> None:
    with Redis.from_url(redis.url) as connection:
        connection.set(f"{PREFIX}key:turn", "somebody who died")
        cache = make_cache(redis.url, dead_after_seconds=0.1)

        answers = [cache.get_or_create("key", Maker()) for _ in range(2)]

        assert answers == [{"number": 1}] * 2
        assert connection.get(f"{PREFIX}key:turn") == b"somebody who died"


@pytest.mark.parametrize("content", [b"x", b"null", b"{}", b"[1]", b'["a", "b"]', b"\xff"])
def test_kept_answer_that_cannot_be_read_is_made_anew(
    make_cache: MakeCache, redis: RedisServer, content: bytes
) -> None:
    with Redis.from_url(redis.url) as connection:
        connection.set(f"{PREFIX}key", content)

    assert make_cache(redis.url).get_or_create("key", Maker()) == {"number": 1}


def test_memory_is_bounded_and_keeps_the_newest(make_cache: MakeCache) -> None:
    cache, make = make_cache(), Maker()

    for number in range(KEPT_IN_MEMORY + 1):
        cache.get_or_create(str(number), make)

    assert cache.get_or_create("1", make) == {"number": 2}
    assert cache.get_or_create("0", make) == {"number": KEPT_IN_MEMORY + 2}


def test_redis_holds_json_that_expires(make_cache: MakeCache, redis: RedisServer) -> None:
    make_cache(redis.url, seconds=30).get_or_create("key", Maker())

    with Redis.from_url(redis.url, decode_responses=True) as connection:
        assert connection.keys() == [f"{PREFIX}key"]
        answer, made_at = json.loads(str(connection.get(f"{PREFIX}key")))
        assert 0 < int(str(connection.ttl(f"{PREFIX}key"))) <= 30
    assert answer == {"number": 1}
    assert time.time() - 30 < made_at <= time.time()


def test_redis_is_not_asked_before_the_first_answer(
    make_cache: MakeCache, redis: RedisServer
) -> None:
    redis.stop()
    cache = make_cache(redis.url, redis_retry_seconds=0)
    redis.start()

    cache.get_or_create("key", Maker())

    with Redis.from_url(redis.url) as connection:
        assert connection.exists(f"{PREFIX}key")


def test_redis_is_warned_of_once_and_shared_again_when_it_is_back(
    make_cache: MakeCache, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    configure_logging()
    logging.getLogger().addHandler(caplog.handler)
    one, other = (make_cache(redis.url, redis_retry_seconds=0) for _ in range(2))

    redis.stop()
    apart = [cache.get_or_create("key", Maker())["number"] for cache in (one, other)]
    redis.start()
    make = Maker()
    together = [cache.get_or_create("other key", make)["number"] for cache in (one, other)]

    assert (apart, together) == ([1, 1], [1, 1])
    levels = [record.levelname for record in redis_records(caplog)]
    assert levels == ["WARNING", "WARNING", "INFO", "INFO"]  # Each of the two said so once.


def redis_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if "redis is" in record.getMessage()]
