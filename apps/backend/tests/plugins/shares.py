"""Prints, at the end of a run, how the suite divides into its kinds."""

from collections import Counter
from typing import Final

import pytest

KINDS: Final = {"api": "feature", "unit": "unit"}
REST: Final = "end-to-end and static"
OUTCOMES: Final = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    kinds = {
        report.nodeid: kind_of(report.nodeid)
        for outcome in OUTCOMES
        for report in terminalreporter.getreports(outcome)
        if isinstance(report, pytest.TestReport)
    }
    if kinds:
        terminalreporter.write_line(f"shares: {describe(Counter(kinds.values()))}")


def kind_of(nodeid: str) -> str:
    """Tell the kind by the folder below `tests`."""
    folder = nodeid.partition("tests/")[2].partition("/")[0]
    return KINDS.get(folder, REST)


def describe(counts: Counter[str]) -> str:
    return ", ".join(
        f"{kind} {round(100 * counts[kind] / counts.total())} % ({counts[kind]})"
        for kind in (*KINDS.values(), REST)
    )
