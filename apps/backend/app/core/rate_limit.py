"""How often something may be done: counted in Redis where processes share it, else in memory.

A Redis that is gone or hangs stops no request: limits go on in memory until it is back.
"""

import math
import threading
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from typing import Final

from limits import parse_many
from limits.storage import RedisStorage
from redis import ConnectionPool, RedisError

from app.core.circuit import REDIS_RETRY_SECONDS, Circuit
from app.core.clock import SteadyClock
from app.core.config import Settings
from app.core.errors import UnavailableError

KEPT_IN_MEMORY: Final = 50_000


class RedisUnavailableError(UnavailableError):
    code = "REDIS_UNAVAILABLE"
    text = "Redis does not answer. Until it does, each process counts for itself."


@dataclass(frozen=True, slots=True)
class Limit:
    """What is counted under one name, and which setting says how often it may happen.

    An exact one holds over any span of its length; the others, cheaper, from one full minute
    (hour …) to the next, so that twice as many may pass around its turn.
    """

    name: str
    setting: str
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    name: str
    quota: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left in a window, and after how many seconds there is more."""

    window: Window
    remaining: int
    reset_seconds: int
    is_exceeded: bool


@dataclass(slots=True)
class _Entry:
    ends_at: float
    count: int = 0
    moments: list[float] = field(default_factory=list)


class MemoryStore:
    """Exact over threads. When it is full, what is over goes, and then what is oldest."""

    def __init__(self) -> None:
        self.clock = SteadyClock()
        self._entries: dict[str, _Entry] = {}
        self._room = 1000
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def incr(self, key: str, expiry: int) -> int:
        with self._lock:
            entry = self._entry(key, expiry, self.clock.now())
            entry.count += 1
            return entry.count

    def acquire(self, key: str, window: Window) -> tuple[bool, float, int]:
        """Tell whether there was room for one more, since when, and how many there are now."""
        with self._lock:
            now = self.clock.now()
            entry = self._entry(key, window.seconds, now)
            moments = [moment for moment in entry.moments if moment > now - window.seconds]
            if is_taken := len(moments) < window.quota:
                moments.append(now)
                entry.ends_at = now + window.seconds
            entry.moments = moments
            return is_taken, moments[0], len(moments)

    def _entry(self, key: str, expiry: int, now: float) -> _Entry:
        entry = self._entries.get(key)
        if entry is None or entry.ends_at <= now:
            if len(self._entries) >= self._room:
                self._make_room(now)
            entry = self._entries[key] = _Entry(ends_at=now + expiry)
        return entry

    def _make_room(self, now: float) -> None:
        live = {key: entry for key, entry in self._entries.items() if entry.ends_at > now}
        too_many = max(0, len(live) - KEPT_IN_MEMORY)
        self._entries = dict(islice(live.items(), too_many, None))
        self._room = max(1000, 2 * len(self._entries))


class RedisStore(RedisStorage):
    """`limits`' own, whose scripts are told the time."""

    def __init__(self, pool: ConnectionPool) -> None:
        super().__init__("redis://", connection_pool=pool, key_prefix="backdesk:limit")
        self.clock = SteadyClock()

    def acquire(self, key: str, window: Window) -> tuple[bool, float, int]:
        now, keys = self.clock.now(), [self.prefixed_key(key)]
        values = [now, window.quota, window.seconds, 1]
        is_taken = bool(self.lua_acquire_moving_window(keys, values))
        values = [now - window.seconds, window.quota]
        since, used = self.lua_moving_window(keys, values) or (now, 0)
        return is_taken, float(since), used


Store = MemoryStore | RedisStore


class RateLimiter:
    """One for each application. It connects with the first hit."""

    def __init__(
        self, settings: Settings, *, redis_retry_seconds: float = REDIS_RETRY_SECONDS
    ) -> None:
        self._settings = settings
        self._memory = MemoryStore()
        self._circuit = Circuit(settings.REDIS_URL, "limits", retry_seconds=redis_retry_seconds)
        self._shared = RedisStore(self._circuit.pool) if self._circuit.pool else self._memory
        self.close = self._circuit.close

    @property
    def faults(self) -> int:
        """How often Redis did not answer."""
        return self._circuit.faults

    def hit(self, limit: Limit, key: str) -> list[Standing]:
        """Count one, and tell where that leads; the last standing may be exceeded."""
        standings: list[Standing] = []
        if not self._settings.RATE_LIMIT_ENABLED:
            return standings
        count = _count_exactly if limit.is_exact else _count
        for window in _windows(limit.name, getattr(self._settings, limit.setting)):
            counted = window, f"{window.name}:{key}"
            standing = self._circuit.attempt(
                partial(count, self._shared, *counted),
                otherwise=partial(count, self._memory, *counted),
            )
            standings.append(standing)
            if standing.is_exceeded:
                break
        return standings

    def refuse_silent_redis(self) -> None:
        """Raises RedisUnavailableError where there should be a Redis, and none answers."""
        if isinstance(self._shared, RedisStore):
            try:
                self._shared.get_connection().ping()
            except (RedisError, OSError):
                raise RedisUnavailableError from None


def _count(store: Store, window: Window, key: str) -> Standing:
    """One call: the window's end is told by the clock."""
    number, passed = divmod(store.clock.now(), window.seconds)
    used = store.incr(f"{key}:{number:.0f}", window.seconds)
    return Standing(
        window,
        remaining=max(0, window.quota - used),
        reset_seconds=math.ceil(window.seconds - passed),
        is_exceeded=used > window.quota,
    )


def _count_exactly(store: Store, window: Window, key: str) -> Standing:
    """Who is refused is not counted: a lock expires, however often it is tried meanwhile."""
    is_taken, since, used = store.acquire(key, window)
    left = window.seconds - (store.clock.now() - since)
    return Standing(
        window,
        remaining=max(0, window.quota - used) if is_taken else 0,
        reset_seconds=min(window.seconds, max(1, math.ceil(left))),
        is_exceeded=not is_taken,
    )


@lru_cache
def _windows(name: str, text: str) -> tuple[Window, ...]:
    """Read `60/minute;1000/hour`. Where there are several windows, each has its length as name."""
    items = parse_many(text)
    return tuple(
        Window(
            name=f"{name}-{item.get_expiry()}" if len(items) > 1 else name,
            quota=item.amount,
            seconds=item.get_expiry(),
        )
        for item in items
    )
