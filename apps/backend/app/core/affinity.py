"""Threads that take turns stay on one core.

One thread of a process runs Python at a time, and the event loop and the threads of requests hand
over to each other several times per request. From one core to another that costs more than most
requests do; on one core it is cheap, and none of them could use a second one.
"""

import math
import os
import socket
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST_PROCESSES: Final = 64  # That are told apart on one machine.

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
    """Keep the present thread to a core, and so the threads that it starts, unless they `roam`.

    Processes of one container take one core after the other; each container begins at another.
    """
    if _can_choose:
        cores = sorted(_ALLOWED)
        first = zlib.crc32(socket.gethostname().encode())
        _stay_on({cores[(first + _take_number()) % len(cores)]})


def _take_number() -> int:
    """Return the lowest number that no living process has, over a socket's name."""
    name = socket.socket(socket.AF_UNIX)
    for number in range(MOST_PROCESSES):
        with suppress(OSError):
            name.bind(f"\0backdesk:process:{number}")
            name.detach()  # It is taken until this process ends.
            return number
    name.close()
    return os.getpid()


def _stay_on(cores: Iterable[int]) -> None:
    """It is for speed alone: where a sandbox forbids it, or the cores have changed, all goes on."""
    if _can_choose:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)
