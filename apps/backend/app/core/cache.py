"""Answers that are kept for a moment: in Redis where processes share it, else in memory.

Of many who ask for the same at once, over all processes, one makes the answer. It is made anew a
little before its time is up, while the others still get the present one, so that nobody waits for
an answer that is asked for all the time.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from redis import Redis
from redis.exceptions import LockError
from redis.lock import Lock as RedisLock

from app import __version__
from app.core.circuit import REDIS_RETRY_SECONDS, Circuit
from app.core.clock import SteadyClock
from app.core.config import Settings

Json = dict[str, Any]

RENEWED_AFTER: Final = 0.75  # Of the time for which an answer is good.
KEPT_IN_MEMORY: Final = 500
# How long to wait for another's answer before making it oneself: threads live, processes may die.
WAIT_SECONDS: Final = 10.0
DEAD_AFTER_SECONDS: Final = 3.0
# How long a process that died keeps its turn.
TURN_SECONDS: Final = 20.0
LOOK_AGAIN_SECONDS: Final = 0.02

# Releases may differ in what an answer looks like.
PREFIX: Final = f"backdesk:cache:{__version__}:"


class Cache:
    """One for each application. It connects with the first use."""

    def __init__(
        self,
        settings: Settings,
        *,
        redis_retry_seconds: float = REDIS_RETRY_SECONDS,
        dead_after_seconds: float = DEAD_AFTER_SECONDS,
    ) -> None:
        self._dead_after_seconds = dead_after_seconds
        self._seconds = settings.STATISTICS_CACHE_SECONDS
        self._memory = _Memory(self._seconds)
        self._turns: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._circuit = Circuit(
            settings.REDIS_URL, "kept answers", retry_seconds=redis_retry_seconds
        )
        self._redis = Redis(connection_pool=self._circuit.pool)  # Used where there is a pool.
        self.close = self._circuit.close

    def get_or_create(self, key: str, create: Callable[[], Json]) -> Json:
        """`key` names all that the answer depends on, whose it is included."""
        if not self._seconds:
            return create()
        key = PREFIX + key
        answer, made_at = self._get(key)
        if answer is not None and not self._is_due(made_at):
            return answer
        with self._turn(key, may_wait=answer is None) as is_ours:
            if answer is not None and not is_ours:
                return answer
            answer, made_at = self._get(key)  # Another may have made it meanwhile.
            if answer is None or self._is_due(made_at):
                answer = create()
                self._put(key, json.dumps([answer, time.time()]).encode())
        return answer

    def _is_due(self, made_at: float) -> bool:
        return time.time() - made_at > RENEWED_AFTER * self._seconds

    def _get(self, key: str) -> tuple[Json | None, float]:
        """Return the answer, and when it was made."""
        found: Any = self._circuit.attempt(
            lambda: self._redis.get(key), otherwise=lambda: self._memory.get(key)
        )
        try:
            answer, made_at = json.loads(found)
            return dict(answer), float(made_at)
        except (TypeError, ValueError):  # Nothing, or nothing of ours.
            return None, 0.0

    def _put(self, key: str, value: bytes) -> None:
        self._circuit.attempt(
            lambda: self._redis.set(key, value, ex=self._seconds),
            otherwise=lambda: self._memory.put(key, value),
        )

    @contextmanager
    def _turn(self, key: str, *, may_wait: bool) -> Iterator[bool]:
        """Tell whether it is ours to make the answer: one thread's of this process, and in Redis
        one process'. Waiting has an end, so that the turn may still be another's then.
        """
        with self._lock:
            here = self._turns.setdefault(key, threading.Lock())
        if not here.acquire(timeout=WAIT_SECONDS if may_wait else 0):
            yield False
            return
        elsewhere = self._redis.lock(
            f"{key}:turn",
            timeout=TURN_SECONDS,
            sleep=LOOK_AGAIN_SECONDS,
            blocking_timeout=self._dead_after_seconds if may_wait else 0,
        )
        is_made = may_wait and self._get(key)[0] is not None  # By a thread that waited before.
        is_held = is_made or self._circuit.attempt(elsewhere.acquire, otherwise=lambda: None)
        try:
            yield is_held is not False  # Without Redis there are no others.
        finally:
            if is_held and not is_made:
                self._circuit.attempt(lambda: _release(elsewhere), otherwise=lambda: None)
            here.release()


def _release(turn: RedisLock) -> None:
    with suppress(LockError):  # It took too long, and is another's.
        turn.release()


class _Memory:
    """Each value for a while, and no more than a number of them: the oldest goes first."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: dict[str, tuple[float, bytes]] = {}
        self._clock = SteadyClock()
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        ends_at, value = self._values.get(key, (0.0, None))
        return value if ends_at > self._clock.now() else None

    def put(self, key: str, value: bytes) -> None:
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = (self._clock.now() + self._seconds, value)
            if len(self._values) > KEPT_IN_MEMORY:
                del self._values[next(iter(self._values))]
