"""What stands before Redis, so that one which is gone, or hangs, stops no request."""

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog
from pydantic import SecretStr
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry

# A request waits no longer for Redis, and then none does until the next try.
REDIS_TIMEOUT_SECONDS: Final = 0.1
REDIS_RETRY_SECONDS: Final = 5.0

Result = TypeVar("Result")

log = structlog.get_logger("backdesk.redis")


class Circuit:
    """The way to Redis, if there is one. After a fault nobody asks for a while; then one request
    tries, and the others go on without. It connects with the first use.

    `what` is kept in Redis, and in memory meanwhile: the log says so once.
    """

    def __init__(self, url: SecretStr | None, what: str, *, retry_seconds: float) -> None:
        self.pool = (
            None
            if url is None
            else ConnectionPool.from_url(
                url.get_secret_value(),
                socket_timeout=REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        )
        self.faults = 0  # How often Redis did not answer.
        self._what = what
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._is_down = False
        self._retry_at = 0.0

    def attempt(self, call: Callable[[], Result], *, otherwise: Callable[[], Result]) -> Result:
        """Return what `call` has from Redis, or `otherwise` where there is none, or it is out."""
        was_down = self._is_down  # What began before a fault tells nothing of Redis after it.
        if self.pool is not None and self._may_try():
            try:
                result = call()
            except Exception as error:  # noqa: BLE001  Whatever Redis meets, it stops no request.
                self._note_fault(error)
            else:
                if was_down:
                    self._note_return()
                return result
        return otherwise()

    def close(self) -> None:
        if self.pool is not None:
            self.pool.disconnect()

    def _may_try(self) -> bool:
        if not self._is_down:
            return True
        with self._lock:
            if time.monotonic() < self._retry_at:
                return False
            self._retry_at = time.monotonic() + self._retry_seconds
            return True

    def _note_fault(self, error: Exception) -> None:
        with self._lock:
            self.faults += 1
            was_up, self._is_down = not self._is_down, True
            self._retry_at = time.monotonic() + self._retry_seconds
        if was_up:
            words = f"redis is gone, {self._what} go on in memory"
            log.warning(words, cause=type(error).__name__, faults=self.faults)

    def _note_return(self) -> None:
        with self._lock:
            was_down, self._is_down = self._is_down, False
        if was_down:
            words = f"redis is back, {self._what} are shared again"
            log.info(words, faults=self.faults)
