"""The present, and the zones that clocks are set to."""

from datetime import UTC, date, datetime, time, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

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
    return datetime.combine(day, time.min, zone).astimezone(UTC)
