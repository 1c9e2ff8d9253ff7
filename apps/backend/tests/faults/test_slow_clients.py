"""Clients that are slow, verbose, or speak no HTTP: refused in time, and as everybody else is."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.faults.sockets import A_HANG, assert_refused, connect, read_answer
from tests.server import Server, running_server

PATIENCE: Final = 1.0
ITEMS: Final = b"/api/v1/items/"
LOGIN: Final = b"/api/v1/auth/login"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("impatient")
    settings = {"CLIENT_TIMEOUT_SECONDS": str(PATIENCE), "JOBS_ENABLED": "false"}
    with running_server(
        database_url=f"sqlite:///{folder}/served.db", log=folder / "log", settings=settings
    ) as server:
        yield server


@pytest.fixture
def connection(impatient: Server) -> Iterator[socket.socket]:
    with closing(connect(impatient)) as made:
        yield made


# --- Slow


def test_connection_that_says_nothing_is_closed(connection: socket.socket) -> None:
    assert connection.recv(100) == b""


@pytest.mark.parametrize("begun", [b"G", b"GET /health HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x"])
def test_head_that_does_not_end_is_refused(connection: socket.socket, begun: bytes) -> None:
    connection.sendall(begun)

    assert_refused(connection, 408, "CLIENT_TIMEOUT")


def test_head_that_comes_in_drops_is_refused(connection: socket.socket) -> None:
    connection.sendall(b"GET /health HTTP/1.1\r\n")
    deadline = time.monotonic() + A_HANG
    connection.settimeout(0.2)
    while time.monotonic() < deadline:
        connection.sendall(b"X-Drop: 1\r\n")
        try:
            connection.recv(1, socket.MSG_PEEK)
            break
        except TimeoutError:
            pass

    assert_refused(connection, 408, "CLIENT_TIMEOUT")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
@pytest.mark.parametrize("begun", [b"", b'5\r\n{"tit'], ids=["nothing", "something"])
def test_body_that_does_not_arrive_is_refused(
    connection: socket.socket, framing: bytes, begun: bytes
) -> None:
    connection.sendall(post(LOGIN, framing) + begun)

    assert_refused(connection, 408, "CLIENT_TIMEOUT")


def test_body_that_comes_in_drops_is_refused(connection: socket.socket) -> None:
    connection.sendall(post(LOGIN, b"Content-Length: 1000"))
    deadline = time.monotonic() + A_HANG
    connection.settimeout(0.2)
    while time.monotonic() < deadline:
        connection.sendall(b"x")
        try:
            connection.recv(1, socket.MSG_PEEK)
            break
        except TimeoutError:
            pass

    assert_refused(connection, 408, "CLIENT_TIMEOUT")


def test_body_that_nobody_reads_does_not_keep_the_connection(connection: socket.socket) -> None:
    connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    assert read_answer(connection).status == 404

    began_at = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - began_at < A_HANG:
            connection.sendall(b"x")
            time.sleep(0.1)

    assert time.monotonic() - began_at < A_HANG


def test_blank_lines_do_not_keep_the_connection(connection: socket.socket) -> None:
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert read_answer(connection).status == 200

    began_at = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - began_at < A_HANG:
            connection.sendall(b"\r\n")
            time.sleep(0.1)

    assert time.monotonic() - began_at < A_HANG


def test_client_that_takes_no_answers_is_cut_off(impatient: Server) -> None:
    """Answers wait in the server's memory for whoever asks and never reads."""
    with closing(connect(impatient)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.5)
        began_at = time.monotonic()
        request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        with suppress(ConnectionError):
            while time.monotonic() - began_at < A_HANG:
                with suppress(TimeoutError):
                    connection.sendall(request)
                time.sleep(0.05)

        assert time.monotonic() - began_at < A_HANG


@pytest.mark.parametrize(("rate", "buffer"), [(60_000, None), (60_000, 4096), (8_000, 4096)])
def test_client_that_takes_its_time_is_served_while_it_takes_something(
    impatient: Server, rate: int, buffer: int | None
) -> None:
    """Much more waits than the kernel keeps, so that the server, too, has to wait."""
    requests = 40
    with closing(socket.socket()) as connection:
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(A_HANG)
        url = urlsplit(impatient.url)
        connection.connect((url.hostname, url.port))
        connection.sendall(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
        received = b""
        began_at = time.monotonic()
        while time.monotonic() - began_at < 10 * PATIENCE:
            received += connection.recv(rate // 10)
            time.sleep(0.1)
        while received.count(b"HTTP/1.1 200") < requests:
            part = connection.recv(2**20)
            assert part
            received += part


def test_connection_is_kept_for_the_next_request(connection: socket.socket) -> None:
    for _ in range(5):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection).status == 200
        time.sleep(PATIENCE / 3)


def test_requests_in_one_piece_are_answered_in_turn(connection: socket.socket) -> None:
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"nonsense\r\n\r\n")

    received = b""
    while part := connection.recv(65536):
        received += part
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", received)
    # What is no HTTP closes the connection; answers that were due before come before.
    assert statuses == [b"200"] * 3 + [b"400"]


def test_slow_clients_do_not_keep_others_waiting(impatient: Server) -> None:
    slow = [connect(impatient) for _ in range(50)]
    for one in slow:
        one.sendall(post(LOGIN, b"Content-Length: 100"))

    began_at = time.monotonic()
    with closing(connect(impatient)) as connection:
        connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = read_answer(connection)
    seconds = time.monotonic() - began_at
    for one in slow:
        one.close()

    assert answer.status == 200
    assert seconds < A_HANG / 2


# --- Verbose


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1024**2 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 100_000 + b"\r\n",
        b"GET /" + b"x" * 1024**2 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"x" * 100_000,
    ],
    ids=["one header", "many headers", "path", "a little too long", "endless"],
)
def test_head_that_is_too_large_is_refused(connection: socket.socket, head: bytes) -> None:
    with suppress(ConnectionError):
        connection.sendall(head)

    assert_refused(connection, 431, "HEADERS_TOO_LARGE")


def test_head_that_is_large_is_read(connection: socket.socket) -> None:
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 50_000 + b"\r\n\r\n")

    assert read_answer(connection).status == 200


def test_large_body_in_one_piece_with_its_head_is_no_large_head(connection: socket.socket) -> None:
    body = b'{"title": "' + b"x" * 200_000 + b'"}'
    connection.sendall(post(ITEMS, b"Content-Length: %d" % len(body), b"application/json") + body)

    assert read_answer(connection).status == 401


# --- No HTTP


@pytest.mark.parametrize(
    "garbage",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["words", "TLS", "HTTP/2", "path", "header", "lengths", "smuggling", "version", "tunnel"],
)
def test_what_is_no_request_is_refused(connection: socket.socket, garbage: bytes) -> None:
    connection.sendall(garbage)

    assert_refused(connection, 400, "BAD_REQUEST")


def test_body_that_is_no_longer_http_is_refused(connection: socket.socket) -> None:
    connection.sendall(post(LOGIN, b"Transfer-Encoding: chunked"))
    time.sleep(0.2)
    connection.sendall(b"this is no chunk\r\n")

    assert_refused(connection, 400, "BAD_REQUEST")


def test_upgrade_that_is_not_offered_is_answered_as_a_request(connection: socket.socket) -> None:
    for _ in range(2):
        connection.sendall(
            b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
        )
        assert read_answer(connection).status == 200


def post(path: bytes, framing: bytes, kind: bytes = b"application/x-www-form-urlencoded") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s\r\n\r\n" % (path, kind, framing)
