"""What the kernel knows of a process and of all that it has started."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    pid: int
    parent: int
    ticks: int  # At work, in the process itself and in children that have ended.


def read_stat(text: str) -> Stat:
    """Read `/proc/PID/stat`; the name in it may hold anything."""
    pid, _, rest = text.partition(" (")
    fields = rest.rpartition(")")[2].split()
    return Stat(int(pid), int(fields[1]), sum(map(int, fields[11:15])))


def processor_seconds(root: int) -> float:
    """Return the user and system time of a process and its descendants, ended ones included."""
    return sum(stat.ticks for stat in _tree(root)) / TICKS


def megabytes(root: int) -> float:
    """Return the memory of a process and its descendants; what they share counts once (PSS)."""
    return sum(_proportional_kilobytes(stat.pid) for stat in _tree(root)) / 1024


def parent_of(pid: int) -> int:
    return read_stat((PROC / str(pid) / "stat").read_text()).parent


def _tree(root: int) -> list[Stat]:
    stats = list(_all_stats())
    found = {root}
    while grown := {stat.pid for stat in stats if stat.parent in found} - found:
        found |= grown
    return [stat for stat in stats if stat.pid in found]


def _all_stats() -> Iterator[Stat]:
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                yield read_stat((folder / "stat").read_text())
            except OSError:
                continue  # It has ended meanwhile.


def _proportional_kilobytes(pid: int) -> int:
    text = (PROC / str(pid) / "smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
