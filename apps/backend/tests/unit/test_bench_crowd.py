"""Clients of the benchmark's own, and what they say of a crowd."""

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

import pytest

from bench.clients import Outcome, Told, ask_at_once, outcome_of, read_answer
from bench.crowd import (
    Borne,
    NotBorneError,
    borne_by,
    refuse_starved,
    refuse_unanswered,
    table_of,
)
from bench.systems import SYSTEMS

BACKDESK, TUTORIAL = SYSTEMS[:2]
ACCEPTED: Final = Told(Outcome.ACCEPTED, 5)


class Answers(BaseHTTPRequestHandler):
    """The path names the status; 0 is none at all."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status = int(self.path.strip("/"))
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        if status == 503:
            self.send_header("Retry-After", "2")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  Named by the library.
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_each_client_asks_all_that_is_its_own(url: str) -> None:
    told = ask_at_once(url, [asked(200, 503, 500), asked(0, 200), asked()])

    assert [one.outcome for one in told] == [
        *(Outcome.ACCEPTED, Outcome.REFUSED, Outcome.FAILED),
        *(Outcome.BROKEN, Outcome.ACCEPTED),
    ]


def test_nobody_there_is_a_broken_connection(url: str) -> None:
    told = ask_at_once("http://127.0.0.1:1", [asked(200)])

    assert [one.outcome for one in told] == [Outcome.BROKEN]


def asked(*statuses: int) -> list[bytes]:
    return [f"GET /{status} HTTP/1.1\r\nHost: here\r\n\r\n".encode() for status in statuses]


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (201, {}, Outcome.ACCEPTED),
        (503, {"retry-after": "2"}, Outcome.REFUSED),
        (503, {}, Outcome.FAILED),
        (500, {}, Outcome.FAILED),
        (429, {"retry-after": "2"}, Outcome.FAILED),
    ],
)
def test_a_refusal_says_when_to_come_again(
    status: int, headers: dict[str, str], expected: Outcome
) -> None:
    assert outcome_of(status, headers) == expected


def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    async def read_twice() -> list[int]:
        reader = asyncio.StreamReader()
        pieces = b"3\r\na,b\r\n2\r\n\r\n\r\n0\r\n\r\n"
        reader.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces)
        reader.feed_data(b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\n1")
        return [(await read_answer(reader))[0] for _ in range(2)]

    assert asyncio.run(read_twice()) == [200, 201]


def test_refusals_make_no_crowd_look_quick() -> None:
    quick = [Told(Outcome.REFUSED, 1)] * 900

    borne = borne_by([*quick, Told(Outcome.ACCEPTED, 400), Told(Outcome.HUNG, 10_000)], seconds=2)

    assert (borne.p50_ms, borne.p99_ms, borne.slowest_ms) == (400, 400, 400)
    assert borne.slowest_refusal_ms == 1
    assert borne.outcomes == {"accepted": 1, "refused": 900, "failed": 0, "broken": 0, "hung": 1}


def test_of_nothing_accepted_there_is_no_time() -> None:
    borne = borne_by([Told(Outcome.HUNG, 10_000)], seconds=1)

    line = table_of({TUTORIAL: borne}).splitlines()[-1]
    assert line.split("|")[2:5] == ["          0 ", "        ", "        "]


def test_only_backdesk_owes_answers() -> None:
    refuse_unanswered({BACKDESK: bearing(ACCEPTED), TUTORIAL: bearing(Told(Outcome.HUNG, 1))})
    refuse_unanswered({BACKDESK: bearing(Told(Outcome.REFUSED, 1))})


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.BROKEN, Outcome.HUNG])
def test_backdesk_owes_every_answer(outcome: Outcome) -> None:
    with pytest.raises(NotBorneError, match=f"1 {outcome}"):
        refuse_unanswered({BACKDESK: bearing(ACCEPTED, Told(outcome, 1))})


def test_backdesk_lets_nobody_wait_much_longer_than_the_others() -> None:
    quick = [Told(Outcome.ACCEPTED, 100, client) for client in range(9) for _ in range(9)]
    late = [Told(Outcome.ACCEPTED, 499, 9), Told(Outcome.ACCEPTED, 100, 9)]

    refuse_starved({BACKDESK: bearing(*quick, *late)})
    refuse_starved({TUTORIAL: bearing(*quick, Told(Outcome.ACCEPTED, 900, 9))})


@pytest.mark.parametrize(
    ("times_ms", "what"),
    [((501, 100, 100), "first answer"), ((100, 510, 510), "median of a client")],
)
def test_backdesk_starves_no_client(times_ms: tuple[int, ...], what: str) -> None:
    quick = [Told(Outcome.ACCEPTED, 100, client) for client in range(9) for _ in range(9)]

    with pytest.raises(NotBorneError, match=what):
        refuse_starved({BACKDESK: bearing(*quick, *(told_by(9, one) for one in times_ms))})


def told_by(client: int, milliseconds: float) -> Told:
    return Told(Outcome.ACCEPTED, milliseconds, client)


def bearing(*told: Told) -> Borne:
    return borne_by(told, seconds=1)
