"""Threads that take turns stay on one core.

One thread of a process runs Python at a time, and the event loop and the threads of requests hand
over to each other several times per request. From one core to another that costs more than most
requests do; on one core it is cheap, and none of them could use a second one.
"""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SECONDS_BETWEEN_LOOKS: Final = 10.0
FIRST_LOOK_SECONDS: Final = 0.1
CROWDED: Final = 0.2  # Of a core, taken by others.
TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

_can_choose: Final = hasattr(os, "sched_setaffinity")
_ALLOWED: Final = frozenset(os.sched_getaffinity(0)) if _can_choose else frozenset()

Ticks = Mapping[int, int]  # At work, by core.


def number_of_cores() -> int:
    """Return how many of the machine's this process may use."""
    return len(_ALLOWED) or os.cpu_count() or 1


def roam() -> None:
    """Let the present thread run wherever there is room: it works outside of Python's lock."""
    if _can_choose:
        os.sched_setaffinity(0, _ALLOWED)


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
                os.sched_setaffinity(0, {self._core})

    def keep(self) -> None:
        """Choose a core, and look every few seconds whether it still is the right one."""
        if len(_ALLOWED) > 1 and Path("/proc/stat").exists():
            self._move(_least_busy(_shares(_busy_ticks(), FIRST_LOOK_SECONDS)))
            threading.Thread(target=self._look_around, name="one-core", daemon=True).start()

    def _look_around(self) -> None:
        roam()
        while True:
            own, before = time.process_time(), _busy_ticks()
            shares = dict(_shares(before, SECONDS_BETWEEN_LOOKS))
            own_share = (time.process_time() - own) / SECONDS_BETWEEN_LOOKS
            here = self._core
            if here is None or here not in shares:
                continue
            others = shares[here] - own_share
            quietest = _least_busy(shares)
            if others > CROWDED and shares[quietest] < others - CROWDED / 2:
                self._move(quietest)

    def _move(self, core: int) -> None:
        with self._lock:
            self._core = core
            for thread in list(self._threads):
                try:
                    os.sched_setaffinity(thread, {core})
                except OSError:
                    self._threads.discard(thread)  # It has ended.


def _shares(before: Ticks, seconds: float) -> Mapping[int, float]:
    """Return how much of each core is taken in the time to come."""
    time.sleep(seconds)
    return {
        core: (ticks - before.get(core, ticks)) / TICKS / seconds
        for core, ticks in _busy_ticks().items()
    }


def _least_busy(shares: Mapping[int, float]) -> int:
    """Of equals, processes that start together take different ones."""
    cores = sorted(shares)
    turn = os.getpid() % len(cores)
    return min(cores[turn:] + cores[:turn], key=lambda core: round(shares[core], 1))


def _busy_ticks() -> Ticks:
    """Read the kernel's own count (proc_stat(5)): user, nice, system, idle, waiting, irq …"""
    ticks = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in _ALLOWED:
            ticks[int(name[3:])] = sum(map(int, counts[:3])) + sum(map(int, counts[5:8]))
    return ticks
