"""The present, and the zones that clocks are set to."""

import threading
import time
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

SKEW: Final = timedelta(seconds=10)  # So far ahead may another server's clock be.
# What lies in a system's folder of zones and names no place: another zone on each machine, or none.
_NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules"})
_NO_FOLDERS: Final = ("posix/", "right/", "SystemV/")


def utc_now() -> datetime:
    return datetime.now(UTC)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(
        name for name in available_timezones() - _NO_ZONES if not name.startswith(_NO_FOLDERS)
    )


def time_zone(name: str) -> tzinfo | None:
    """Return the zone that IANA knows by this name, or None."""
    if name == "UTC":  # Also where a machine has no database of zones.
        return UTC
    return ZoneInfo(name) if name in _zone_names() else None


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return the first moment of a day; where clocks skip midnight, that of the change."""
    return datetime.combine(day, datetime.min.time(), zone).astimezone(UTC)


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
