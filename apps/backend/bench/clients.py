"""Clients of our own: wrk tells neither how long which answer took, nor what never came."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import uvloop

PATIENCE_SECONDS: Final = 10
REST_SECONDS: Final = 0.1  # Of a client that finds nobody to talk to.


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"  # 503, and told when to come again.
    FAILED = "failed"  # Any other answer from 400 on.
    BROKEN = "broken"  # The connection ended, or was not made.
    HUNG = "hung"  # Given up after `PATIENCE_SECONDS`.


LOST: Final = {Outcome.BROKEN, Outcome.HUNG}


@dataclass(frozen=True, slots=True)
class Told:
    """What a client has to tell of one request."""

    outcome: Outcome
    milliseconds: float
    client: int = 0


def ask_at_once(url: str, shares: Iterable[Iterable[bytes]]) -> list[Told]:
    """Let one client for each share ask its requests, one after the other."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_ask_at_once(url, shares))


async def _ask_at_once(url: str, shares: Iterable[Iterable[bytes]]) -> list[Told]:
    told = await asyncio.gather(
        *(_ask_in_turn(Client(url, number), share) for number, share in enumerate(shares))
    )
    return [one for share in told for one in share]


async def _ask_in_turn(client: "Client", requests: Iterable[bytes]) -> list[Told]:
    told = [await client.ask(request) for request in requests]
    client.close()
    return told


class Client:
    """Asks on one connection as long as it holds, and then on another."""

    def __init__(self, url: str, number: int) -> None:
        parts = urlsplit(url)
        self._number = number
        self._address = str(parts.hostname), parts.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Told:
        begun = time.perf_counter()
        outcome = await self._outcome(request)
        milliseconds = (time.perf_counter() - begun) * 1000
        if outcome in LOST:
            self.close()
        if outcome == Outcome.BROKEN:
            await asyncio.sleep(REST_SECONDS)
        return Told(outcome, milliseconds, self._number)

    async def _outcome(self, request: bytes) -> Outcome:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._send(request)
        except TimeoutError:
            return Outcome.HUNG
        except (OSError, asyncio.IncompleteReadError):
            return Outcome.BROKEN

    async def _send(self, request: bytes) -> Outcome:
        reader, writer = self._streams = self._streams or await asyncio.open_connection(
            *self._address
        )
        writer.write(request)
        status, headers = await read_answer(reader)
        if headers.get("connection") == "close":
            self.close()
        return outcome_of(status, headers)

    def close(self) -> None:
        if self._streams is not None:
            with suppress(OSError):
                self._streams[1].close()
            self._streams = None


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read to the end of the body, and return the status and the headers."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.lower().splitlines()
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
    else:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return int(first.split()[1]), headers


def outcome_of(status: int, headers: dict[str, str]) -> Outcome:
    if status < 400:
        return Outcome.ACCEPTED
    return Outcome.REFUSED if status == 503 and "retry-after" in headers else Outcome.FAILED
