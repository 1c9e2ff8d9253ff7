"""`python -m bench`: Backdesk beside its peers, on one PostgreSQL."""

import os
import subprocess
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from app.cli.console import progress_bar
from app.core.security import hash_password
from bench.asking import Rows
from bench.circumstances import circumstances
from bench.database import Database, NotHereError, database
from bench.endpoints import ENDPOINTS, Endpoint
from bench.equality import DifferentError, check_equality
from bench.fill import EXPORTERS_ITEMS, PASSWORD, fill
from bench.measure import megabytes
from bench.picture import draw, lines_of
from bench.places import BACKEND, PICTURE
from bench.plan import MissingToolError, Plan, full_plan, smoke_plan
from bench.profiling import profile
from bench.report import Footprint, Report, table
from bench.rounds import Bench, FailedRequestsError, Sample
from bench.systems import SYSTEMS, Running, System, running


def main() -> None:
    options = read_options()
    try:
        work = work_of(options)
        with database(options.database_url) as made:
            work(made)
    except (DifferentError, FailedRequestsError, MissingToolError, NotHereError) as error:
        sys.exit(f"bench: {error}")
    except (pytest.skip.Exception, pytest.fail.Exception) as absent:
        sys.exit(f"bench: {absent}; or name a server with --database-url.")


def work_of(options: Namespace) -> Callable[[Database], None]:
    if options.what == "profile":
        return partial(draw_profile, options)
    return partial(compare, smoke_plan(options) if options.smoke else full_plan(options))


def compare(plan: Plan, made: Database) -> None:
    report = measure(plan, made)
    print(report.overview())
    if plan.results is not None:
        report.write(plan.results)
        print(f"\nMore in {plan.results}.md")


def draw_profile(options: Namespace, made: Database) -> None:
    prepare(made, items=options.items)
    say("Asking one request after the other ...")
    found = profile(made, Rows(options.items))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(found))
    print(table(["microseconds", *found], lines_of(found)))
    print(f"\nDrawn in {PICTURE}")


def read_options() -> Namespace:
    parser = ArgumentParser(
        prog="python3 manage.py bench", description="What a request costs, beside other frameworks."
    )
    parser.add_argument("what", nargs="?", choices=["profile"], help="draw where the time goes")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--smoke", action="store_true", help="beside the tutorial's app, no wrk")
    length.add_argument("--quick", action="store_true", help="two short rounds, kept in build/")
    parser.add_argument("--database-url", help="a PostgreSQL on this machine; else one is started")
    parser.add_argument("--items", type=_items, default=100_000, help="in the database (100000)")
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement (5)")
    parser.add_argument("--connections", type=int, default=8, help="of wrk (8)")
    parser.add_argument("--systems", type=_names_of(SYSTEMS), help="some, with commas between")
    parser.add_argument("--endpoints", type=_names_of(ENDPOINTS), help="likewise")
    return parser.parse_args()


def _items(text: str) -> int:
    if int(text) < 2 * EXPORTERS_ITEMS:
        raise ArgumentTypeError(f"at least {2 * EXPORTERS_ITEMS} are needed")
    return int(text)


def _names_of(known: Sequence[System] | Sequence[Endpoint]) -> Callable[[str], frozenset[str]]:
    every = [one.name for one in known]

    def read(text: str) -> frozenset[str]:
        chosen = frozenset(text.split(","))
        if not chosen <= set(every):
            raise ArgumentTypeError(f"there are {', '.join(every)}")
        return chosen

    return read


def measure(plan: Plan, made: Database) -> Report:
    python = plan.find_python()
    prepare(made, items=plan.items)
    told = circumstances(made.backdesk, items=plan.items, how=plan.how, python=python)
    say("Starting the systems ...")
    with ExitStack() as stack:
        starts = {one.name: try_starts(one, made, python, plan.starts - 1) for one in plan.systems}
        systems = [stack.enter_context(running(one, made, python=python)) for one in plan.systems]
        samples = take_samples(plan, systems, made)
        footprints = {
            one.system.name: Footprint(
                [*starts[one.system.name], one.seconds_to_first_answer], megabytes(one.pid)
            )
            for one in systems
        }
    return Report(told, plan.systems, plan.endpoints, footprints, samples)


def prepare(made: Database, *, items: int) -> None:
    say("Filling the database ...")
    migrate(made.backdesk)
    fill(made, items=items, hashed_password=hash_password(PASSWORD))


def try_starts(system: System, made: Database, python: Path, times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        with running(system, made, python=python) as started:
            seconds.append(started.seconds_to_first_answer)
    return seconds


def take_samples(plan: Plan, systems: list[Running], made: Database) -> list[Sample]:
    rows = Rows(plan.items)
    say("Comparing the answers ...")
    check_equality(systems, plan.endpoints, rows)
    bench = Bench(systems, plan.endpoints, rows, made.server_pid)
    with progress_bar() as bar:
        progress = bar.add_task("Measuring", total=plan.steps)
        bench.take_round(0, plan.warm_up, lambda: bar.advance(progress))
        return [
            sample
            for number in range(1, plan.rounds + 1)
            for sample in bench.take_round(number, plan.source, lambda: bar.advance(progress))
        ]


def migrate(database_url: str) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url}
    command = [sys.executable, "-m", "app.cli", "migrate"]
    subprocess.run(command, cwd=BACKEND, env=environment, check=True, stdout=subprocess.DEVNULL)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
