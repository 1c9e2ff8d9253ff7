"""Answers that are kept for a moment: in Redis where processes share it, else in memory.

Of many who ask for the same at once, over all processes, one makes the answer. It is made anew a
little before its time is up, while the others still get the present one, so that nobody waits for
an answer that is asked for all the time.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from dogpile.lock import Lock, NeedRegenerationException
from dogpile.util import NameRegistry
from redis import Redis
from redis.exceptions import LockError
from redis.lock import Lock as RedisLock

from app import __version__
from app.core.circuit import REDIS_RETRY_SECONDS, Circuit, redis_pool
from app.core.clock import SteadyClock
from app.core.config import Settings

Json = dict[str, Any]
Result = TypeVar("Result")

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
        self.dead_after_seconds = dead_after_seconds
        self._seconds = settings.STATISTICS_CACHE_SECONDS
        self._pool = redis_pool(settings.REDIS_URL) if settings.REDIS_URL else None
        self._redis = Redis(connection_pool=self._pool) if self._pool else None
        self._circuit = Circuit("kept answers", retry_seconds=redis_retry_seconds)
        self._memory = _Memory(self._seconds)
        self._turns = NameRegistry(partial(_Turn, self))

    def get_or_create(self, key: str, create: Callable[[], Json]) -> Json:
        """`key` names all that the answer depends on, whose it is included."""
        if not self._seconds:
            return create()
        key = PREFIX + key

        def make() -> tuple[Json, float]:
            kept = create(), time.time()
            self._put(key, json.dumps(kept).encode())
            return kept

        lock: Any = Lock  # It is not typed.
        renewed_after = RENEWED_AFTER * self._seconds
        with lock(self._turns.get(key), make, lambda: self._get(key), renewed_after) as answer:
            kept: Json = answer
        return kept

    def ask(self, call: Callable[[Redis], Result], *, otherwise: Callable[[], Result]) -> Result:
        """Return what `call` has from Redis, or `otherwise` where there is none, or it is out."""
        redis = self._redis
        if redis is None:
            return otherwise()
        return self._circuit.attempt(lambda: call(redis), otherwise=otherwise)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.disconnect()

    def _get(self, key: str) -> Any:
        """Return the answer, and when it was made."""
        found: Any = self.ask(lambda redis: redis.get(key), otherwise=lambda: self._memory.get(key))
        if found is None:
            raise NeedRegenerationException
        return json.loads(found)

    def _put(self, key: str, value: bytes) -> None:
        self.ask(
            lambda redis: redis.set(key, value, ex=self._seconds),
            otherwise=lambda: self._memory.put(key, value),
        )


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


class _Turn:
    """Whose turn it is to make a value: one thread's in this process, one process' in Redis.

    Waiting has an end: whoever has waited long enough goes ahead without having the turn.
    """

    def __init__(self, cache: Cache, key: str) -> None:
        self._cache = cache
        self._name = f"{key}:turn"
        self._here = threading.Lock()
        self._holder: int | None = None
        self._elsewhere: RedisLock | None = None

    def acquire(self, wait: bool = True) -> bool:
        if not self._here.acquire(timeout=WAIT_SECONDS if wait else 0):
            return False
        self._holder = threading.get_ident()
        if self._cache.ask(partial(self._acquire_elsewhere, wait), otherwise=lambda: True) or wait:
            return True
        self.release()
        return False

    def release(self) -> None:
        """Called by those as well who went ahead without the turn."""
        if self._holder == threading.get_ident():
            self._holder = None
            if self._elsewhere is not None:
                self._cache.ask(partial(_release, self._elsewhere), otherwise=lambda: None)
            self._elsewhere = None
            self._here.release()

    def _acquire_elsewhere(self, wait: bool, redis: Redis) -> bool:
        lock = redis.lock(
            self._name,
            timeout=TURN_SECONDS,
            sleep=LOOK_AGAIN_SECONDS,
            blocking_timeout=self._cache.dead_after_seconds if wait else 0,
            thread_local=False,
        )
        self._elsewhere = lock if lock.acquire() else None
        return self._elsewhere is not None


def _release(lock: RedisLock, _: Redis) -> None:
    with suppress(LockError):  # It took too long, and is another's.
        lock.release()
