"""How much is measured, of what, and by which means."""

import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.endpoints import ENDPOINTS, Endpoint
from bench.environment import peers_python
from bench.load import Clients, Source, Wrk
from bench.places import RESULTS, SCRATCH
from bench.systems import BACKDESK, POOL_SIZE, SYSTEMS, TUTORIAL, System

SMOKE_ENDPOINTS: Final = frozenset({"me", "item", "own-page", "page", "create", "patch"})


class MissingToolError(Exception):
    """Something has to be installed first."""


@dataclass(frozen=True)
class Plan:
    systems: Sequence[System]
    endpoints: Sequence[Endpoint]
    items: int
    rounds: int
    starts: int
    warm_up: Source
    source: Source
    how: str
    find_python: Callable[[], Path]  # Of the peers.
    results: Path | None

    @property
    def steps(self) -> int:
        """How many measurements there are, those for warming up included."""
        return len(self.systems) * len(self.endpoints) * (self.rounds + 1)


def smoke_plan(options: Namespace) -> Plan:
    """Half a minute, on the run time's own packages alone."""
    rounds, requests = 3, 100
    return Plan(
        systems=[one for one in SYSTEMS if one.name in {BACKDESK, TUTORIAL}],
        endpoints=_chosen_endpoints(options.endpoints or SMOKE_ENDPOINTS),
        items=10_000,
        rounds=rounds,
        starts=1,
        warm_up=Clients(requests=30, connections=4),
        source=Clients(requests=requests, connections=4),
        how=f"{rounds} rounds of {requests} requests",
        find_python=lambda: Path(sys.executable),
        results=None,
    )


def full_plan(options: Namespace) -> Plan:
    """Raises MissingToolError."""
    if shutil.which("wrk") is None:
        raise MissingToolError("wrk is missing; on Debian or Ubuntu: sudo apt install wrk")
    rounds, seconds = (2, 1.0) if options.quick else (options.rounds, options.seconds or 5)
    connections = options.connections
    return Plan(
        systems=_chosen_systems(options.systems),
        endpoints=_chosen_endpoints(options.endpoints),
        items=options.items,
        rounds=rounds,
        starts=1 if options.quick else 5,
        warm_up=Wrk(seconds=min(seconds, 2), connections=connections),
        source=Wrk(seconds=seconds, connections=connections),
        how=f"{rounds} rounds of {seconds:g} s, wrk with {connections} connections, one worker"
        f" each with {POOL_SIZE} connections to the database",
        find_python=peers_python,
        results=results_of(options, f"{options.items}-items"),
    )


def results_of(options: Namespace, name: str) -> Path:
    """Return where to keep them: whole ones with the code, others for the while."""
    is_part = options.quick or options.systems or options.endpoints
    return (SCRATCH if is_part else RESULTS) / name


def _chosen_systems(names: frozenset[str] | None) -> list[System]:
    """Backdesk is always among them: it is what all others are compared with."""
    return [one for one in SYSTEMS if not names or one.name in names | {BACKDESK}]


def _chosen_endpoints(names: frozenset[str] | None) -> list[Endpoint]:
    return [one for one in ENDPOINTS if not names or one.name in names]
