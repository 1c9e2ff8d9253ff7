"""`python -m bench profile`: ask one request after the other, and draw where the time went."""

import json
import socket
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from statistics import mean
from typing import Final
from urllib.parse import urlsplit

from bench.asking import Rows, as_bytes, token_for
from bench.database import Database
from bench.endpoints import ENDPOINTS, Endpoint
from bench.fill import tidy
from bench.measure import processor_seconds
from bench.places import SPANS
from bench.systems import BACKDESK, Running, System, running

WARM_UP, REQUESTS = 200, 1000
PROFILED: Final = frozenset({"me", "item", "own-page", "page", "create", "patch"})


class Profiled(System):
    def command(self, port: int, *, python: Path) -> list[str]:
        return [str(python), "-m", "bench.profiled", str(port)]


def profile(made: Database, rows: Rows) -> dict[str, dict[str, float]]:
    """Return microseconds of processor time by part, for each endpoint."""
    endpoints = [one for one in ENDPOINTS if one.name in PROFILED]
    in_database: dict[str, float] = {}
    with running(Profiled("profiled", BACKDESK), made, python=Path(sys.executable)) as started:
        for endpoint in endpoints:
            token = token_for(started, endpoint.caller)
            before = processor_seconds(made.server_pid)
            ask_in_turn(started, endpoint, rows, token)
            taken = processor_seconds(made.server_pid) - before
            in_database[endpoint.name] = taken / (WARM_UP + REQUESTS) * 1e6
            if endpoint.writes:
                tidy(started.database_url, items=rows.items)
    by_name: dict[str, list[Mapping[str, int]]] = defaultdict(list)
    for label, spent in json.loads(SPANS.read_text()):
        by_name[label].append(spent)
    return {
        one.name: middle(by_name[one.name][WARM_UP:]) | {"PostgreSQL": in_database[one.name]}
        for one in endpoints
    }


def ask_in_turn(running: Running, endpoint: Endpoint, rows: Rows, token: str | None) -> None:
    """Each request is one packet, so that the server never waits for the rest of one."""
    parts = urlsplit(running.url)
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=60) as connection,
        connection.makefile("rb") as answers,
    ):
        for number in range(WARM_UP + REQUESTS):
            connection.sendall(as_bytes(endpoint, rows, number, token))
            read_answer(answers)


def read_answer(answers: BufferedReader) -> None:
    length = 0
    while (line := answers.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    answers.read(length)


def middle(requests: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Average the middle half of the requests: of the others, some met a pause."""
    ordered = sorted(requests, key=lambda spent: sum(spent.values()))
    kept = ordered[len(ordered) // 4 : -(len(ordered) // 4) or None]
    names = dict.fromkeys(name for spent in kept for name in spent)
    return {name: mean(spent.get(name, 0) for spent in kept) / 1000 for name in names}
