"""Threads that take turns stay on one core.

One thread of a process runs Python at a time, and the event loop and the threads of requests hand
over to each other several times per request. From one core to another that costs more than most
requests do; on one core it is cheap, and none of them could use a second one.
"""

import math
import os
import socket
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.1
STAT: Final = Path("/proc/stat")

_can_choose: Final = hasattr(os, "sched_setaffinity")
_ALLOWED: Final = frozenset(os.sched_getaffinity(0)) if _can_choose else frozenset()


def number_of_cores() -> int:
    """Return how many of the machine's this process may use, as far as a container's quota goes."""
    cores = len(_ALLOWED) or os.cpu_count() or 1
    try:  # Microseconds of work in so many microseconds, or `max` (cgroup v2).
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
    except (OSError, ValueError):
        return cores
    return min(cores, math.ceil(quota / period))


def roam() -> None:
    """Let the present thread run wherever there is room: it works outside of Python's lock."""
    _stay_on(_ALLOWED)


def stay_on_one_core() -> None:
    """Keep the present thread to the core that is the least busy one now, and so the threads that
    it starts, unless they `roam`.
    """
    before = _busy_ticks()
    if len(before) > 1:
        time.sleep(LOOK_SECONDS)
        ticks = {core: count - before.get(core, count) for core, count in _busy_ticks().items()}
        _stay_on({_least_busy(ticks)})


def _stay_on(cores: Iterable[int]) -> None:
    """It is for speed alone: where a sandbox forbids it, or the cores have changed, all goes on."""
    if _can_choose:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)


def _least_busy(ticks: Mapping[int, int]) -> int:
    """Of equals, processes that start together take different ones, in other containers too."""
    cores = sorted(ticks)
    turn = (os.getpid() + zlib.crc32(socket.gethostname().encode())) % len(cores)
    return min(cores[turn:] + cores[:turn], key=ticks.__getitem__)


def _busy_ticks() -> Mapping[int, int]:
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
