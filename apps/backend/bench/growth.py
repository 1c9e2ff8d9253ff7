"""`python -m bench growth`: Backdesk beside itself with more items."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.circumstances import circumstances
from bench.comparison import footprints_of, take_samples
from bench.database import Server
from bench.plan import Plan, full_plan, results_of
from bench.preparing import filled_database, say
from bench.report import Report
from bench.systems import System, running

BOUND: Final = 1.1


def growth_plan(options: Namespace) -> Plan:
    """Raises MissingToolError."""
    sizes = (options.items, options.up_to)
    return replace(
        full_plan(options),
        systems=[System(f"backdesk-{items}", f"{items} items") for items in sizes],
        results=results_of(options, f"{options.items}-to-{options.up_to}-items"),
    )


def grow(plan: Plan, sizes: tuple[int, int], server: Server) -> Report:
    """Both lie in one server and are asked in turn, so that nothing but the rows differs."""
    python = Path(sys.executable)
    with ExitStack() as stack:
        made = [
            stack.enter_context(filled_database(server, items=items, for_peers=False))
            for items in sizes
        ]
        items = " or ".join(map(str, sizes))
        told = circumstances(made[0].backdesk, items=items, how=plan.how, python=python)
        say("Starting Backdesk twice ...")
        systems = [
            stack.enter_context(running(system, one, python=python))
            for system, one in zip(plan.systems, made, strict=True)
        ]
        samples = take_samples(plan, systems, server)
        footprints = footprints_of(systems, {})
    title = "Backdesk with more items"
    report = Report(title, told, plan.systems, plan.endpoints, footprints, samples)
    grown = {one.name: report.ratios(plan.systems[1], one).median for one in plan.endpoints}
    return replace(report, remark=verdict(grown))


def verdict(ratios: Mapping[str, float]) -> str:
    """Say of which endpoints the cost grows with the rows."""
    dearer = [f"{name} ({ratio:.2f})" for name, ratio in ratios.items() if ratio > BOUND]
    return f"Over {BOUND}: {', '.join(dearer) or 'none'}."
