"""The counting in memory. What limits do to requests is in tests/api/test_rate_limits.py."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import time_machine
from pydantic import SecretStr

from app.core.config import Settings
from app.core.logging import configure_logging
from app.core.rate_limit import KEPT_IN_MEMORY, Limit, MemoryStore, RateLimiter

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
            store.acquire_entry(f"moment:{number}", 5, 60)
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
