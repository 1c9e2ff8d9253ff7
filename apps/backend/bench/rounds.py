"""Measure system after system, round after round, so that all share the machine's moods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.asking import Rows, token_for
from bench.endpoints import Endpoint
from bench.figures import rotated
from bench.fill import tidy
from bench.load import Load, Source
from bench.measure import processor_seconds
from bench.systems import Running


@dataclass(frozen=True)
class Sample:
    """What one request cost on average, in one round: application and database."""

    system: str
    endpoint: str
    round: int
    load: Load
    app_microseconds: float
    database_microseconds: float

    @property
    def microseconds(self) -> float:
        return self.app_microseconds + self.database_microseconds


class FailedRequestsError(Exception):
    """A system that does not answer is not measured."""


@dataclass(frozen=True)
class Bench:
    systems: Sequence[Running]
    endpoints: Sequence[Endpoint]
    server_pid: int

    def take_round(self, number: int, source: Source, tick: Callable[[], None]) -> list[Sample]:
        """Measure everything once, and call `tick` after each measurement."""
        samples = []
        for endpoint in self.endpoints:
            for running in rotated(self.systems, number):
                samples.append(self._measure(running, endpoint, source, number))
                tick()
        return samples

    def _measure(self, running: Running, endpoint: Endpoint, source: Source, number: int) -> Sample:
        token = token_for(running, endpoint.caller)
        rows = Rows(running.items)
        before = self._processor_seconds(running)
        load = source(running, endpoint, rows, token=token, start=number * 1_000_000)
        after = self._processor_seconds(running)
        if endpoint.writes:
            tidy(running.database_url, items=running.items)
        if not load.requests or load.refused or load.broken:
            raise FailedRequestsError(f"{running.system.name}, {endpoint.name}: {load}")
        app, database = (
            (late - early) / load.requests * 1e6 for early, late in zip(before, after, strict=True)
        )
        return Sample(running.system.name, endpoint.name, number, load, app, database)

    def _processor_seconds(self, running: Running) -> tuple[float, float]:
        return processor_seconds(running.pid), processor_seconds(self.server_pid)
