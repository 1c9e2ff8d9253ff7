"""Many clients at once, some of which send half a body: the others go on."""

import asyncio
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
import pytest

from app.middleware.admission import MAX_ARRIVING_BYTES
from bench.clients import read_answer as read_answer_of
from tests.faults.sockets import A_HANG, connect, read_answer
from tests.server import Server, running_server

PLACES: Final = 20
MORE: Final = 3 * PLACES
LOGIN: Final = "/api/v1/auth/login"
ITEMS: Final = "/api/v1/items/"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("crowds")
    settings = {"MAX_REQUESTS_IN_FLIGHT": str(PLACES), "JOBS_ENABLED": "false"}
    with running_server(
        database_url=f"sqlite:///{folder}/served.db", log=folder / "log", settings=settings
    ) as server:
        yield server


def begin(server: Server, path: str, framing: str, body: bytes) -> socket.socket:
    connection = connect(server)
    kind = "application/x-www-form-urlencoded" if path == LOGIN else "application/json"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize("path", [LOGIN, ITEMS])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 100", b""),
        ("Content-Length: 100", b"x" * 50),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
    ],
    ids=["nothing", "half", "chunked"],
)
def test_half_sent_bodies_take_nobodys_place(
    served: Server, path: str, framing: str, body: bytes
) -> None:
    with ExitStack() as stack:
        half = []
        for count in (MORE - PLACES, PLACES):  # The first of them are the oldest.
            for _ in range(count):
                half.append(stack.enter_context(closing(begin(served, path, framing, body))))
                time.sleep(0.01)  # Of one address, few may wait to be counted.
            time.sleep(0.5)
        with httpx2.Client(base_url=served.url, timeout=30) as client:
            statuses = [ask(client, served) for _ in range(PLACES)]

        assert Counter(statuses) == {200: PLACES}
        # Beyond their own bound, the oldest are given up.
        assert [read_answer(one).status for one in half[: MORE - PLACES]] == [408] * (MORE - PLACES)


def ask(client: httpx2.Client, served: Server) -> int:
    """Sign in, with a body in a segment of its own."""
    form = {"username": served.admin_email, "password": served.admin_password}
    return client.post(LOGIN, data=form).status_code


def test_half_sent_bodies_hold_no_more_than_their_bytes(tmp_path: Path) -> None:
    size = 1024**2 - 1000
    least = 80 - MAX_ARRIVING_BYTES // size
    with ExitStack() as stack:
        server = stack.enter_context(
            running_server(database_url=f"sqlite:///{tmp_path}/served.db", log=tmp_path / "log")
        )
        half = []
        for _ in range(80):
            part = begin(server, ITEMS, f"Content-Length: {size + 1}", b"x" * size)
            half.append(stack.enter_context(closing(part)))
        deadline = time.monotonic() + A_HANG
        while len(answered := select.select(half, [], [], 0)[0]) < least:
            assert time.monotonic() < deadline
            time.sleep(0.1)

        assert half[-1] not in answered
        assert {read_answer(one).status for one in answered} == {408}
        half[-1].sendall(b"x")
        assert read_answer(half[-1]).status == 400  # No JSON.


# --- Newcomers

CLIENTS: Final = 200
NEWCOMERS: Final = 40


def test_newcomers_are_taken_as_the_others_are_served(served_many: Server) -> None:
    """Counted in answers to the others, since a busy machine makes all of them slower."""
    rounds = asyncio.run(_rounds_of_newcomers(served_many))

    assert len(rounds) == NEWCOMERS
    assert max(rounds) < 5


@pytest.fixture
def served_many(tmp_path: Path) -> Iterator[Server]:
    with running_server(
        database_url=f"sqlite:///{tmp_path}/served.db",
        log=tmp_path / "log",
        settings={"JOBS_ENABLED": "false"},
    ) as server:
        yield server


async def _rounds_of_newcomers(server: Server) -> list[float]:
    """Return how often each of the others was answered, while each newcomer waited."""
    url = urlsplit(server.url)
    form = {"username": server.admin_email, "password": server.admin_password}
    token = httpx2.post(f"{server.url}{LOGIN}", data=form, timeout=30).json()["access_token"]
    request = f"GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    answers = 0

    async def ask_until(over: asyncio.Event) -> None:
        nonlocal answers
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        while True:
            writer.write(request.encode())
            assert (await read_answer_of(reader))[0] == 200
            answers += 1
            if answers == 5 * CLIENTS:
                all_at_work.set()
            if over.is_set():
                break
        writer.close()

    async def come() -> float:
        before = answers
        await ask_until(is_over)
        return (answers - before) / CLIENTS

    over, is_over, all_at_work = asyncio.Event(), asyncio.Event(), asyncio.Event()
    is_over.set()
    others = [asyncio.create_task(ask_until(over)) for _ in range(CLIENTS)]
    await all_at_work.wait()
    rounds = await asyncio.gather(*(come() for _ in range(NEWCOMERS)))
    over.set()
    await asyncio.gather(*others)
    return rounds
