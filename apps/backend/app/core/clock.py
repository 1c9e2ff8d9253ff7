import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final

SKEW: Final = timedelta(seconds=10)  # So far ahead may another server's clock be.


def utc_now() -> datetime:
    return datetime.now(UTC)


class SteadyClock:
    """Seconds since 1970 that go on as time does where the clock is set back."""

    def __init__(self) -> None:
        self._wall, self._ticks = time.time(), time.monotonic()
        self._ahead = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            wall, ticks = time.time(), time.monotonic()
            if wall < self._wall:
                self._ahead += self._wall - wall + ticks - self._ticks
            self._wall, self._ticks = wall, ticks
            return wall + self._ahead
