"""What was measured, as a table for people and as JSON for programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.endpoints import Endpoint
from bench.figures import Spread, paired_ratios, spread
from bench.rounds import Sample
from bench.systems import System

LOWER_IS_BETTER: Final = (
    "Processor time per request, as a multiple of the first line's. Lower is better."
)
LEGEND: Final = (
    "Application and database together, divided round by round by what the first line's system"
    " took; the median of the rounds. Over 1 is dearer, under 1 cheaper."
)


@dataclass(frozen=True)
class Footprint:
    """What a system costs before anybody asks it anything, and what it holds afterwards."""

    seconds_to_first_answer: list[float]
    megabytes: float


@dataclass(frozen=True)
class Report:
    """The first of the systems is what the others are compared with."""

    title: str
    circumstances: dict[str, str]
    systems: Sequence[System]
    endpoints: Sequence[Endpoint]
    footprints: dict[str, Footprint]
    samples: Sequence[Sample]
    remark: str = ""

    def write(self, path: Path) -> None:
        write(path, self.as_markdown(), self._as_json())

    def _as_json(self) -> dict[str, Any]:
        return {
            "circumstances": self.circumstances,
            "systems": {name: asdict(footprint) for name, footprint in self.footprints.items()},
            "samples": [asdict(sample) for sample in self.samples],
        }

    def as_markdown(self) -> str:
        return page(
            f"# {self.title}",
            listed(self.circumstances),
            "## Processor time per request, as a multiple of the first line's",
            LEGEND,
            self.overview(),
            self.remark,
            "## Start and memory",
            self._footprint_table(),
            *(self._endpoint_table(endpoint) for endpoint in self.endpoints),
        )

    def overview(self) -> str:
        header = ["", *(endpoint.name for endpoint in self.endpoints)]
        lines = [
            [system.text, *(f"{self.ratios(system, one).median:.2f}" for one in self.endpoints)]
            for system in self.systems
        ]
        return table(header, lines)

    def _footprint_table(self) -> str:
        lines = [
            [
                system.text,
                f"{spread(self.footprints[system.name].seconds_to_first_answer).median:.2f}",
                f"{self.footprints[system.name].megabytes:.0f}",
            ]
            for system in self.systems
        ]
        return table(["", "seconds to the first answer", "MB per worker, after the load"], lines)

    def _endpoint_table(self, endpoint: Endpoint) -> str:
        header = [
            *("", "requests/s", "p50 ms", "p99 ms", "µs per request", "application", "database"),
            "to the first line's (least, most)",
        ]
        lines = [list(self._line(system, endpoint)) for system in self.systems]
        title = f"## {endpoint.name}: {endpoint.text}\n\n`{endpoint.method} {endpoint.path}`"
        return f"{title}\n\n{table(header, lines)}"

    def _line(self, system: System, endpoint: Endpoint) -> Iterator[str]:
        samples = self._of(system.name, endpoint)
        ratios = self.ratios(system, endpoint)
        yield system.text
        yield f"{_median(one.load.requests / one.load.seconds for one in samples):.0f}"
        yield f"{_median(one.load.p50_ms for one in samples):.2f}"
        yield f"{_median(one.load.p99_ms for one in samples):.2f}"
        yield f"{_median(one.microseconds for one in samples):.0f}"
        yield f"{_median(one.app_microseconds for one in samples):.0f}"
        yield f"{_median(one.database_microseconds for one in samples):.0f}"
        yield f"{ratios.median:.2f} ({ratios.least:.2f}, {ratios.most:.2f})"

    def ratios(self, system: System, endpoint: Endpoint) -> Spread:
        its, ours = (
            {one.round: one.microseconds for one in self._of(name, endpoint)}
            for name in (system.name, self.systems[0].name)
        )
        return spread(paired_ratios(its, ours))

    def _of(self, name: str, endpoint: Endpoint) -> list[Sample]:
        return [one for one in self.samples if (one.system, one.endpoint) == (name, endpoint.name)]


def _median(values: Iterator[float]) -> float:
    return spread(list(values)).median


def write(path: Path, text: str, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    path.with_suffix(".md").write_text(text)


def page(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def listed(circumstances: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in circumstances.items())


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Lay out Markdown that reads well as plain text too; all but the first column to the right."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rule = [f"{'-' * (width - 1)}{':' if number else '-'}" for number, width in enumerate(widths)]
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in (header, rule, *lines)
    )
