"""The counting in memory. What limits do to requests is in tests/api/test_rate_limits.py."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from pydantic import SecretStr

from app.core.clock import SteadyClock
from app.core.config import Settings
from app.core.logging import configure_logging
from app.core.rate_limit import KEPT_IN_MEMORY, Limit, MemoryStore, RateLimiter, Window
from tests.services.redis import RedisServer

EXACT = Limit("login", "RATE_LIMIT_LOGIN")
CHEAP = Limit("user", "RATE_LIMIT_USER", is_exact=False)


def limiter(**settings: str) -> RateLimiter:
    return RateLimiter(Settings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [EXACT, CHEAP])
def test_limit_is_exact_over_threads(limit: Limit) -> None:
    counting = limiter(
        RATE_LIMIT_ENABLED="true", RATE_LIMIT_LOGIN="100/day", RATE_LIMIT_USER="100/day"
    )

    with ThreadPoolExecutor(16) as threads:
        standings = list(threads.map(lambda _: counting.hit(limit, "ann")[-1], range(1000)))

    assert sum(not one.is_exceeded for one in standings) == 100


def test_memory_forgets_what_is_over() -> None:
    store = MemoryStore()

    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        for number in range(1000):
            store.incr(f"count:{number}", 60)
            store.acquire(f"moment:{number}", Window("login", 5, 60))
        before = len(store)
        clock.shift(61)
        for number in range(1000):
            store.incr(f"late:{number}", 60)

    assert before == 2000
    assert len(store) <= 1001


def test_memory_is_bounded_and_keeps_the_newest() -> None:
    store = MemoryStore()

    for number in range(3 * KEPT_IN_MEMORY):
        store.incr(str(number), 3600)

    assert len(store) <= 2 * KEPT_IN_MEMORY
    assert store.incr(str(3 * KEPT_IN_MEMORY - 1), 3600) == 2


def test_redis_is_not_asked_before_the_first_hit(tmp_path: Path) -> None:
    """Importing and putting together connects to nothing."""
    counting = limiter(RATE_LIMIT_ENABLED="true", REDIS_URL=f"unix://{tmp_path}/none.sock")

    assert counting.faults == 0
    assert not counting.hit(EXACT, "ann")[-1].is_exceeded
    assert counting.faults == 1


def test_redis_is_warned_of_once_however_often_it_is_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(RATE_LIMIT_ENABLED=True, REDIS_URL=SecretStr(f"unix://{tmp_path}/none"))
    counting = RateLimiter(settings, redis_retry_seconds=0)
    configure_logging()
    logging.getLogger().addHandler(caplog.handler)

    for _ in range(3):
        counting.hit(EXACT, "ann")

    assert counting.faults == 3
    assert [one.levelname for one in caplog.records] == ["WARNING"]


# --- A clock that is set back.


@pytest.mark.parametrize("seconds", [-3600, -1800, -90, -5])
@pytest.mark.parametrize("limit", [EXACT, CHEAP])
@pytest.mark.parametrize("shared", [False, True])
def test_clock_set_back_neither_prolongs_a_lock_nor_opens_it(
    redis: RedisServer, limit: Limit, seconds: int, shared: bool
) -> None:
    settings = {"RATE_LIMIT_LOGIN": "5/minute", "RATE_LIMIT_USER": "5/minute"}
    if shared:
        settings["REDIS_URL"] = redis.url
    with time_machine.travel("2030-01-01T05:10:00Z", tick=False) as clock:
        counting = limiter(RATE_LIMIT_ENABLED="true", **settings)
        before = [counting.hit(limit, "ann")[-1].is_exceeded for _ in range(6)]
        clock.shift(seconds)
        locked = counting.hit(limit, "ann")[-1]
        clock.shift(50)
        still = counting.hit(limit, "ann")[-1]
        clock.shift(15)
        after = counting.hit(limit, "ann")[-1]

    counting.close()
    assert before == [False] * 5 + [True]
    assert (locked.is_exceeded, still.is_exceeded, after.is_exceeded) == (True, True, False)
    assert 1 <= still.reset_seconds <= 10 < locked.reset_seconds <= 60


@pytest.mark.parametrize("minutes", [30, 60, 24 * 60])
def test_clock_set_back_within_an_hour_s_window_does_not_prolong_it(minutes: int) -> None:
    with time_machine.travel("2030-01-01T05:50:00Z", tick=False) as clock:
        counting = limiter(RATE_LIMIT_ENABLED="true", RATE_LIMIT_USER="1/hour")
        counting.hit(CHEAP, "ann")
        clock.shift(timedelta(minutes=-minutes))
        locked = counting.hit(CHEAP, "ann")[-1]
        clock.shift(timedelta(minutes=11))
        after = counting.hit(CHEAP, "ann")[-1]

    assert (locked.is_exceeded, after.is_exceeded) == (True, False)
    assert 590 <= locked.reset_seconds <= 600


def test_clock_set_back_is_no_step_for_threads_at_once() -> None:
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        steady = SteadyClock()
        before = steady.now()
        clock.shift(-3600)
        with ThreadPoolExecutor(16) as threads:
            seen = list(threads.map(lambda _: steady.now(), range(1000)))

    assert all(-1 < moment - before < 60 for moment in seen)
