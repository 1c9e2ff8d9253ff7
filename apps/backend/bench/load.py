"""Many requests at once: by wrk, or without it by clients of our own."""

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

from bench.asking import Rows, as_bytes, headers_of
from bench.clients import Outcome, ask_at_once
from bench.endpoints import Endpoint
from bench.figures import percentile
from bench.fill import CLERKS_ITEMS, USERS
from bench.places import BENCH
from bench.systems import Running

WRK_GRACE_SECONDS: Final = 90


@dataclass(frozen=True)
class Load:
    """How a system bore it: `refused` answers are those from 400 on, `broken` ones none at all."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


class Source(Protocol):
    def __call__(
        self, running: Running, endpoint: Endpoint, rows: Rows, *, token: str | None, start: int
    ) -> Load: ...


@dataclass(frozen=True)
class Wrk:
    seconds: float
    connections: int

    def __call__(
        self, running: Running, endpoint: Endpoint, rows: Rows, *, token: str | None, start: int
    ) -> Load:
        headers = (f"-H{name}: {value}" for name, value in headers_of(endpoint, token).items())
        options = [
            "-t1",
            f"-c{endpoint.at_once or self.connections}",
            f"-d{self.seconds:g}s",
            "--timeout=60s",
        ]
        script = f"-s{BENCH / 'load.lua'}"
        asked = (endpoint.method, endpoint.path, endpoint.body)
        numbers = (str(rows.step), str(CLERKS_ITEMS), str(USERS), str(start))
        done = subprocess.run(
            ["wrk", *options, *headers, script, running.url, "--", *asked, *numbers],
            capture_output=True,
            text=True,
            check=True,
            timeout=self.seconds + WRK_GRACE_SECONDS,
        )
        return Load(**json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Clients:
    """A fixed number of requests. They ask slower than wrk does, which costs the system nothing."""

    requests: int
    connections: int

    def __call__(
        self, running: Running, endpoint: Endpoint, rows: Rows, *, token: str | None, start: int
    ) -> Load:
        clients = endpoint.at_once or self.connections
        requests = [
            as_bytes(endpoint, rows, number, token)
            for number in range(start, start + self.requests)
        ]
        begun = time.perf_counter()
        told = ask_at_once(running.url, [requests[first::clients] for first in range(clients)])
        seconds = time.perf_counter() - begun
        times = [one.milliseconds for one in told]
        outcomes = Counter(one.outcome for one in told)
        return Load(
            requests=len(told),
            seconds=seconds,
            p50_ms=percentile(times, 0.5),
            p99_ms=percentile(times, 0.99),
            refused=outcomes[Outcome.REFUSED] + outcomes[Outcome.FAILED],
            broken=outcomes[Outcome.BROKEN] + outcomes[Outcome.HUNG],
        )
