"""`python -m bench`: what a request costs."""

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial

import pytest

from bench.asking import Rows
from bench.comparison import compare
from bench.crowd import (
    Crowd,
    NotBorneError,
    crowd_of,
    gather,
    refuse_starved,
    refuse_unanswered,
    table_of,
)
from bench.database import NotHereError, Server, server
from bench.equality import DifferentError
from bench.growth import grow, growth_plan
from bench.options import read_options
from bench.picture import draw, lines_of
from bench.places import PICTURE
from bench.plan import MissingToolError, Plan, full_plan, smoke_plan
from bench.preparing import filled_database, say
from bench.profiling import profile
from bench.report import LOWER_IS_BETTER, Report, table
from bench.rounds import FailedRequestsError

REFUSALS = (DifferentError, FailedRequestsError, MissingToolError, NotBorneError, NotHereError)


def main() -> None:
    options = read_options()
    try:
        work = work_of(options)
        with server(options.database_url) as found:
            work(found)
    except REFUSALS as error:
        sys.exit(f"bench: {error}")
    except (pytest.skip.Exception, pytest.fail.Exception) as absent:
        sys.exit(f"bench: {absent}; or name a server with --database-url.")


def work_of(options: Namespace) -> Callable[[Server], None]:
    match options.what:
        case "profile":
            return partial(show_profile, options)
        case "crowd":
            return partial(show_crowd, crowd_of(options))
        case "growth":
            return partial(show_growth, growth_plan(options), (options.items, options.up_to))
        case _:
            return partial(show, smoke_plan(options) if options.smoke else full_plan(options))


def show(plan: Plan, server: Server) -> None:
    report = compare(plan, server)
    print(f"{LOWER_IS_BETTER}\n\n{report.overview()}")
    keep(report, plan)


def show_growth(plan: Plan, sizes: tuple[int, int], server: Server) -> None:
    report = grow(plan, sizes, server)
    print(f"{LOWER_IS_BETTER}\n\n{report.overview()}\n\n{report.remark}")
    keep(report, plan)


def keep(report: Report, plan: Plan) -> None:
    if plan.results is not None:
        report.write(plan.results)
        print(f"\nMore in {plan.results}.md")


def show_crowd(crowd: Crowd, server: Server) -> None:
    found = gather(crowd, server)
    print(f"{table_of(found)}\n\nKept in {crowd.results}.md")
    refuse_unanswered(found)
    refuse_starved(found)


def show_profile(options: Namespace, server: Server) -> None:
    with filled_database(server, items=options.items, for_peers=False) as made:
        say("Asking one request after the other ...")
        found = profile(made, Rows(options.items))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(found))
    print(table(["microseconds; lower is better", *found], lines_of(found)))
    print(f"\nDrawn in {PICTURE}")


if __name__ == "__main__":
    main()
