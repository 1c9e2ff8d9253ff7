"""What may be asked of `python3 manage.py bench`."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence

from bench.endpoints import ENDPOINTS, Endpoint
from bench.fill import EXPORTERS_ITEMS
from bench.systems import SYSTEMS, System


def read_options() -> Namespace:
    parser = ArgumentParser(
        prog="python3 manage.py bench", description="What a request costs, beside other frameworks."
    )
    what = parser.add_argument("what", nargs="?", choices=["profile", "crowd", "growth"])
    what.help = (
        "profile: draw where the time goes; crowd: bear many clients at once;"
        " growth: with ten times as many items"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--smoke", action="store_true", help="beside the tutorial's app, no wrk")
    length.add_argument("--quick", action="store_true", help="shorter, kept in build/")
    parser.add_argument("--database-url", help="a PostgreSQL on this machine; else one is started")
    parser.add_argument("--items", type=_items, default=100_000, help="in the database (100000)")
    parser.add_argument("--up-to", type=_items, default=1_000_000, help="of growth (1000000)")
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    parser.add_argument("--seconds", type=float, help="of each measurement (5), of a crowd (30)")
    parser.add_argument("--connections", type=int, default=8, help="of wrk (8)")
    parser.add_argument("--clients", type=int, default=500, help="of a crowd (500)")
    parser.add_argument("--systems", type=_names_of(SYSTEMS), help="some, with commas between")
    parser.add_argument("--endpoints", type=_names_of(ENDPOINTS), help="likewise")
    options = parser.parse_args()
    if options.what == "growth" and options.up_to <= options.items:
        parser.error("--up-to has to be more than --items")
    return options


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
