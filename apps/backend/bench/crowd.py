"""`python -m bench crowd`: many more clients than threads, for a while."""

import sys
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Final

from app.core.config import Settings
from bench.asking import Rows, as_bytes, token_for
from bench.circumstances import circumstances
from bench.clients import PATIENCE_SECONDS, Outcome, Told, ask_at_once
from bench.database import Server
from bench.endpoints import ENDPOINTS
from bench.figures import percentile
from bench.fill import CLERK
from bench.load import Clients
from bench.plan import results_of
from bench.preparing import filled_database, say
from bench.report import listed, page, table, write
from bench.systems import BACKDESK, SYSTEMS, TUTORIAL, Running, System, running

MIXED: Final = tuple(one for one in ENDPOINTS if one.name in {"me", "item", "own-page"})
WARM_UP: Final = Clients(requests=200, connections=8)
PATIENT: Final = (
    5  # A client waits no longer than so many times the median, for its first answer too.
)
OWED: Final = (Outcome.FAILED, Outcome.BROKEN, Outcome.HUNG)
LEGEND: Final = (
    "Fewer milliseconds are better. They are those of accepted requests alone, as their clients saw"
    " them. Refused is a 503 that says when to come again; failed, any other answer from 400 on;"
    f" broken, a connection lost or not made; hung, no answer within {PATIENCE_SECONDS} s."
)


class NotBorneError(Exception):
    """Backdesk owed somebody an answer."""


@dataclass(frozen=True)
class Crowd:
    clients: int
    seconds: float
    items: int
    results: Path


@dataclass(frozen=True)
class Borne:
    """How a system bore a crowd. Of nothing, there are no milliseconds.

    The slowest client is the one whose median is highest; a first answer includes connecting.
    """

    seconds: float
    outcomes: Mapping[str, int]
    p50_ms: float | None
    p99_ms: float | None
    slowest_ms: float | None
    slowest_first_ms: float | None
    slowest_client_ms: float | None
    slowest_refusal_ms: float | None


def crowd_of(options: Namespace) -> Crowd:
    seconds = 3.0 if options.quick else options.seconds or 30.0
    results = results_of(options, f"crowd-of-{options.clients}")
    return Crowd(options.clients, seconds, options.items, results)


def gather(crowd: Crowd, server: Server) -> dict[System, Borne]:
    """Let it ask Backdesk, and then the tutorial's app; write down how they bore it."""
    python = Path(sys.executable)
    found = {}
    with filled_database(server, items=crowd.items) as made:
        told = circumstances(made.backdesk, items=str(crowd.items), how=how(crowd), python=python)
        for system in SYSTEMS:
            if system.name in {BACKDESK, TUTORIAL}:
                say(f"{crowd.clients} clients ask: {system.text} ...")
                with running(system, made, python=python) as started:
                    found[system] = ask_as_crowd(started, crowd)
    text = page("# Many clients at once", listed(told), LEGEND, table_of(found))
    systems = {system.name: asdict(borne) for system, borne in found.items()}
    write(crowd.results, text, {"circumstances": told, "systems": systems})
    return found


def how(crowd: Crowd) -> str:
    limit = Settings.model_fields["MAX_REQUESTS_IN_FLIGHT"].default
    asked = ", ".join(one.text for one in MIXED)
    return (
        f"{crowd.clients} clients for {crowd.seconds:g} s ask in turn for {asked}, and on as soon"
        f" as they are answered; Backdesk admits {limit} requests at once"
    )


def ask_as_crowd(running: Running, crowd: Crowd) -> Borne:
    token = token_for(running, CLERK)
    rows = Rows(running.items)
    for endpoint in MIXED:
        WARM_UP(running, endpoint, rows, token=token, start=0)
    begun = time.perf_counter()

    def requests_of(client: int) -> Iterator[bytes]:
        for turn in count():
            if time.perf_counter() - begun > crowd.seconds:
                return
            endpoint = MIXED[(client + turn) % len(MIXED)]
            yield as_bytes(endpoint, rows, client + turn * crowd.clients, token)

    told = ask_at_once(running.url, map(requests_of, range(crowd.clients)))
    return borne_by(told, seconds=time.perf_counter() - begun)


def borne_by(told: Sequence[Told], *, seconds: float) -> Borne:
    accepted, refused = (
        [one.milliseconds for one in told if one.outcome == outcome]
        for outcome in (Outcome.ACCEPTED, Outcome.REFUSED)
    )
    by_client: dict[int, list[float]] = defaultdict(list)
    for one in told:
        by_client[one.client].append(one.milliseconds)
    return Borne(
        seconds=seconds,
        outcomes={one.value: sum(each.outcome == one for each in told) for one in Outcome},
        p50_ms=percentile(accepted, 0.5) if accepted else None,
        p99_ms=percentile(accepted, 0.99) if accepted else None,
        slowest_ms=max(accepted, default=None),
        slowest_first_ms=max((one[0] for one in by_client.values()), default=None),
        slowest_client_ms=max((percentile(one, 0.5) for one in by_client.values()), default=None),
        slowest_refusal_ms=max(refused, default=None),
    )


def table_of(found: Mapping[System, Borne]) -> str:
    times = ["p50 ms", "p99 ms", "slowest ms", "slowest first ms", "slowest client ms"]
    times += ["slowest refusal ms"]
    return table(
        ["", "accepted/s", *times, *(one.value for one in Outcome)],
        [[system.text, *_cells(borne)] for system, borne in found.items()],
    )


def _cells(borne: Borne) -> Iterator[str]:
    yield f"{borne.outcomes[Outcome.ACCEPTED] / borne.seconds:.0f}"
    for time_ms in (
        *(borne.p50_ms, borne.p99_ms, borne.slowest_ms),
        *(borne.slowest_first_ms, borne.slowest_client_ms, borne.slowest_refusal_ms),
    ):
        yield "" if time_ms is None else f"{time_ms:.0f}"
    yield from (str(borne.outcomes[one]) for one in Outcome)


def refuse_unanswered(found: Mapping[System, Borne]) -> None:
    """Backdesk alone has promised. Raises NotBorneError; to be refused in time is an answer."""
    for system, borne in found.items():
        unanswered = [f"{borne.outcomes[one]} {one}" for one in OWED if borne.outcomes[one]]
        if unanswered and not system.is_peer:
            raise NotBorneError(f"{system.text}: {', '.join(unanswered)}")


def refuse_starved(found: Mapping[System, Borne]) -> None:
    """Raises NotBorneError where a client of Backdesk's waited much longer than the others."""
    for system, borne in found.items():
        waits = {
            "first answer": borne.slowest_first_ms,
            "median of a client": borne.slowest_client_ms,
        }
        for name, time_ms in waits.items():
            if not system.is_peer and borne.p50_ms and (time_ms or 0) > PATIENT * borne.p50_ms:
                raise NotBorneError(
                    f"{system.text}: the slowest {name} took {time_ms:.0f} ms, more than {PATIENT}"
                    f" times the median of {borne.p50_ms:.0f} ms"
                )
