"""The arithmetic of the benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Name = TypeVar("Name")


@dataclass(frozen=True)
class Spread:
    """What several rounds say of one thing."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def paired_ratios(of: Mapping[int, float], to: Mapping[int, float]) -> list[float]:
    """Divide round by round, so that what slowed a whole round down falls out."""
    return [of[number] / to[number] for number in sorted(of.keys() & to.keys())]


def rotated(names: Sequence[Name], by: int) -> list[Name]:
    """Let another one begin in each round: who follows whom is not always the same."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
