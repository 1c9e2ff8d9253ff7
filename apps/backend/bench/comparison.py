"""`python -m bench`: Backdesk beside its peers."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from app.cli.console import progress_bar
from bench.asking import Rows
from bench.circumstances import circumstances
from bench.database import Database, Server
from bench.equality import check_equality
from bench.measure import megabytes
from bench.plan import Plan
from bench.preparing import filled_database, say
from bench.report import Footprint, Report
from bench.rounds import Bench, Sample
from bench.systems import Running, System, running


def compare(plan: Plan, server: Server) -> Report:
    python = plan.find_python()
    with filled_database(server, items=plan.items) as made, ExitStack() as stack:
        told = circumstances(made.backdesk, items=f"{plan.items}", how=plan.how, python=python)
        say("Starting the systems ...")
        starts = {one.name: try_starts(one, made, python, plan.starts - 1) for one in plan.systems}
        systems = [stack.enter_context(running(one, made, python=python)) for one in plan.systems]
        say("Comparing the answers ...")
        check_equality(systems, plan.endpoints, Rows(plan.items))
        samples = take_samples(plan, systems, server)
        footprints = footprints_of(systems, starts)
    return Report(
        "Backdesk beside its peers", told, plan.systems, plan.endpoints, footprints, samples
    )


def try_starts(system: System, made: Database, python: Path, times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        with running(system, made, python=python) as started:
            seconds.append(started.seconds_to_first_answer)
    return seconds


def take_samples(plan: Plan, systems: Sequence[Running], server: Server) -> list[Sample]:
    bench = Bench(systems, plan.endpoints, server.pid)
    with progress_bar() as bar:
        progress = bar.add_task("Measuring", total=plan.steps)
        bench.take_round(0, plan.warm_up, lambda: bar.advance(progress))
        return [
            sample
            for number in range(1, plan.rounds + 1)
            for sample in bench.take_round(number, plan.source, lambda: bar.advance(progress))
        ]


def footprints_of(
    systems: Sequence[Running], starts: Mapping[str, list[float]]
) -> dict[str, Footprint]:
    return {
        one.system.name: Footprint(
            [*starts.get(one.system.name, []), one.seconds_to_first_answer], megabytes(one.pid)
        )
        for one in systems
    }
