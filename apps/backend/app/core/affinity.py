"""Threads that take turns stay on one core.

One thread of a process runs Python at a time, and the event loop and the threads of requests hand
over to each other several times per request. From one core to another that costs more than most
requests do; on one core it is cheap, and none of them could use a second one.
"""

import math
import os
import random
import socket
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

SECONDS_BETWEEN_LOOKS: Final = 10.0
FIRST_LOOK_SECONDS: Final = 0.1
CROWDED: Final = 0.2  # Of a core, taken by others.
STAT: Final = Path("/proc/stat")
TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

_can_choose: Final = hasattr(os, "sched_setaffinity")
_ALLOWED: Final = frozenset(os.sched_getaffinity(0)) if _can_choose else frozenset()

Ticks = Mapping[int, int]  # At work, by core.


log = structlog.get_logger("backdesk.affinity")


def number_of_cores() -> int:
    """Return how many of the machine's this process may use, as far as a container's quota goes."""
    cores = len(_ALLOWED) or os.cpu_count() or 1
    return min(cores, _quota() or cores)


def _quota() -> int | None:
    """Read cgroup v2's `cpu.max`: microseconds of work in so many microseconds, or `max`."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return None


def roam() -> None:
    """Let the present thread run wherever there is room: it works outside of Python's lock."""
    if _can_choose:
        _stay_on(0, _ALLOWED)


def _stay_on(thread: int, cores: frozenset[int]) -> None:
    """It is for speed alone: where a sandbox forbids it, or the cores have changed, all goes on."""
    with suppress(OSError):
        os.sched_setaffinity(thread, cores)


class OneCore:
    """Follows the room: where others crowd its core, the threads move to the least busy one."""

    def __init__(self) -> None:
        self._threads: set[int] = set()
        self._lock = threading.Lock()
        self._core: int | None = None

    def join(self) -> None:
        """Have the present thread stay with the others."""
        with self._lock:
            self._threads.add(threading.get_native_id())
            if self._core is not None:
                _stay_on(0, frozenset({self._core}))

    def keep(self) -> None:
        """Choose a core, and look every few seconds whether it still is the right one."""
        if len(_busy_ticks()) > 1:
            self._move(_least_busy(_shares(_busy_ticks(), FIRST_LOOK_SECONDS)))
            threading.Thread(target=self._look_around, name="one-core", daemon=True).start()

    def _look_around(self) -> None:
        roam()
        while True:
            try:
                # Not all at once, or all would move to the same core.
                self._look(SECONDS_BETWEEN_LOOKS * random.uniform(0.5, 1.5))  # noqa: S311  No secret.
            except Exception:
                log.exception("cannot see how busy the cores are; staying on this one")
                return

    def _look(self, seconds: float) -> None:
        own, before = time.process_time(), _busy_ticks()
        shares = _shares(before, seconds)
        own_share = (time.process_time() - own) / seconds
        if self._core is None or self._core not in shares:
            return
        others = shares[self._core] - own_share
        quietest = _least_busy(shares)
        if others > CROWDED and shares[quietest] < others - CROWDED / 2:
            self._move(quietest)

    def _move(self, core: int) -> None:
        with self._lock:
            self._core = core
            for thread in self._threads:
                _stay_on(thread, frozenset({core}))


def _shares(before: Ticks, seconds: float) -> Mapping[int, float]:
    """Return how much of each core is taken in the time to come."""
    time.sleep(seconds)
    return {
        core: (ticks - before.get(core, ticks)) / TICKS / seconds
        for core, ticks in _busy_ticks().items()
    }


def _least_busy(shares: Mapping[int, float]) -> int:
    """Of equals, processes that start together take different ones, in other containers too."""
    cores = sorted(shares)
    turn = (os.getpid() + zlib.crc32(socket.gethostname().encode())) % len(cores)
    return min(cores[turn:] + cores[:turn], key=lambda core: round(shares[core], 1))


def _busy_ticks() -> Ticks:
    """Read the kernel's own count (proc_stat(5)): user, nice, system, idle, waiting, irq …

    Nothing where there is no such count, or one of other cores, as in some containers.
    """
    ticks: dict[int, int] = {}
    if not _can_choose or not STAT.exists():
        return ticks
    for line in STAT.read_text().splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in _ALLOWED:
            ticks[int(name[3:])] = sum(map(int, counts[:3])) + sum(map(int, counts[5:8]))
    return ticks
