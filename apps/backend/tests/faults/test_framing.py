"""One request is one request: where it ends is not for the client to blur."""

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Final

import pytest

from tests.faults.sockets import (
    assert_closed,
    assert_refused,
    connect,
    read_answer,
    read_statuses,
)
from tests.server import Server, running_server

LOGIN: Final = "/api/v1/auth/login"
ITEMS: Final = "/api/v1/items/"
ME: Final = "/api/v1/users/me"
HEALTH: Final = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST: Final = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OFFERS: Final = {
    "x": "Connection: Upgrade\r\nUpgrade: x\r\n",
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n",
    "websocket": "Connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n",
    "two": "Upgrade: h2c\r\nUpgrade: x\r\nConnection: upgrade\r\n",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("framing")
    with running_server(
        database_url=f"sqlite:///{folder}/served.db",
        log=folder / "log",
        settings={"CLIENT_TIMEOUT_SECONDS": "2", "JOBS_ENABLED": "false"},
    ) as server:
        yield server


@pytest.fixture(scope="module")
def token(served: Server) -> str:
    form = f"username={served.admin_email}&password={served.admin_password}"
    with closing(connect(served)) as connection:
        connection.sendall(post(LOGIN, with_length(form.encode()), kind=FORM))
        return str(read_answer(connection).body["access_token"])


@pytest.fixture
def connection(served: Server) -> Iterator[socket.socket]:
    with closing(connect(served)) as made:
        yield made


FORM: Final = "application/x-www-form-urlencoded"


def post(
    path: str, body: tuple[str, bytes], *, kind: str = "application/json", more: str = ""
) -> bytes:
    framing, content = body
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{more}{framing}\r\n\r\n"
    return head.encode() + content


def with_length(body: bytes) -> tuple[str, bytes]:
    return f"Content-Length: {len(body)}", body


def in_chunks(body: bytes) -> tuple[str, bytes]:
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (body[:half], body[half:]))
    return "Transfer-Encoding: chunked", chunks + b"0\r\n\r\n"


def send_in(connection: socket.socket, data: bytes, pieces: Sequence[int]) -> None:
    """Send the data in segments that end at these places."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for begin, end in zip((0, *pieces), (*pieces, len(data)), strict=True):
        connection.sendall(data[begin:end])
        time.sleep(0.05)


# --- Upgrades


@pytest.mark.parametrize("framed", [with_length, in_chunks])
@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("segments", ["one", "head and body", "within both"])
def test_body_of_a_request_that_offers_another_protocol_is_its_body(
    connection: socket.socket, token: str, framed: object, offer: str, segments: str
) -> None:
    body = json.dumps({"title": "Lamp", "description": LAST.decode()}).encode()
    more = f"Authorization: Bearer {token}\r\n{OFFERS[offer]}"
    request = post(ITEMS, framed(body), more=more)  # type: ignore[operator]  # One of the two.
    head = request.index(b"\r\n\r\n") + 4
    pieces = {"one": [], "head and body": [head], "within both": [head - 30, head + 9, head + 40]}

    send_in(connection, request, pieces[segments])
    answer = read_answer(connection)
    connection.sendall(LAST)

    assert (answer.status, answer.body["title"]) == (201, "Lamp")
    assert answer.body["description"] == LAST.decode()
    assert read_statuses(connection) == [200]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "HEAD", "OPTIONS"])
def test_request_within_a_body_never_runs(
    connection: socket.socket, offer: str, method: str
) -> None:
    head = f"{method} /nowhere HTTP/1.1\r\nHost: x\r\n{OFFERS[offer]}"

    connection.sendall(f"{head}Content-Length: {len(LAST)}\r\n\r\n".encode())
    time.sleep(0.1)
    connection.sendall(LAST)
    time.sleep(0.1)
    connection.sendall(LAST)

    statuses = read_statuses(connection)
    assert len(statuses) == 2
    assert statuses[0] != 200 or method == "OPTIONS"
    assert statuses[1] == 200


def test_requests_after_an_offer_are_answered_in_turn(connection: socket.socket) -> None:
    offer = f"GET /health HTTP/1.1\r\nHost: x\r\n{OFFERS['h2c']}\r\n".encode()

    connection.sendall(HEALTH + offer + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + offer + LAST)

    assert read_statuses(connection) == [200, 200, 404, 200, 200]


@pytest.mark.parametrize("size", [20_000, 60_000, 70_000])
def test_offer_does_not_change_how_large_a_head_may_be(
    connection: socket.socket, size: int
) -> None:
    more = f"{OFFERS['h2c']}X-Long: {'x' * size}\r\n"
    send_in(connection, post("/nowhere", with_length(b"12345"), more=more)[:-2], [])
    time.sleep(0.2)
    with suppress(ConnectionError):
        connection.sendall(b"45")

    assert read_answer(connection).status == (404 if size < 65536 else 431)


@pytest.mark.parametrize("target", ["example.com:443", "/health", "http://x/health"])
@pytest.mark.parametrize("more", ["", OFFERS["h2c"]])
def test_tunnel_is_refused_with_all_that_follows(
    connection: socket.socket, target: str, more: str
) -> None:
    head = f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(LAST)}\r\n\r\n"

    with suppress(ConnectionError):
        send_in(connection, head.encode() + LAST, [len(head)])

    assert_refused(connection, 400, "BAD_REQUEST")


# --- Trailers


def chunked(path: str, trailers: bytes = b"", *, more: str = "") -> bytes:
    body = b"2\r\n{}\r\n0\r\n" + trailers
    return post(path, ("Transfer-Encoding: chunked", body), more=more)


@pytest.mark.parametrize("segments", ["one", "many"])
def test_trailer_signs_nobody_in(connection: socket.socket, token: str, segments: str) -> None:
    body = json.dumps({"title": "Lamp"}).encode()
    trailer = b"authorization: Bearer " + token.encode() + b"\r\n\r\n"
    framing, content = in_chunks(body)
    request = post(ITEMS, (framing, content[:-2] + trailer))
    end = len(request) - len(trailer)

    send_in(connection, request, [] if segments == "one" else [end, end + 9])

    assert read_answer(connection).status == 401


@pytest.mark.parametrize(
    "trailer",
    [
        b"Content-Length: 5",
        b"Host: y",
        b"X-Request-ID: z",
        b"Transfer-Encoding: gzip",
        b"Expect: 100-continue",
    ],
)
def test_trailer_is_read_and_forgotten(connection: socket.socket, trailer: bytes) -> None:
    connection.sendall(chunked("/nowhere", trailer + b"\r\n\r\n") + LAST)

    assert read_statuses(connection) in ([404, 200], [404, 400], [400])


@pytest.mark.parametrize(
    "endless",
    [b"X-T: x\r\n", b"x", b"X: " + b"y" * 4000 + b"\r\n"],
    ids=["many", "name", "long"],
)
@pytest.mark.parametrize("begin", [b"2\r\n{}\r\n0\r\n", b"2;ext="], ids=["trailers", "extension"])
@pytest.mark.parametrize("path", [ITEMS, LOGIN, "/nowhere"])
def test_trailers_without_end_are_refused(
    connection: socket.socket, endless: bytes, begin: bytes, path: str
) -> None:
    if begin.endswith(b"="):
        endless = b"x" * len(endless)
    connection.sendall(post(path, ("Transfer-Encoding: chunked", begin)))
    answer = read_answer(connection) if path == "/nowhere" else None  # It reads no body.
    sent = 0
    with suppress(ConnectionError):
        while sent < 32 * 1024**2:
            connection.sendall(endless * (16 * 1024 // len(endless)))
            sent += 16 * 1024

    assert sent < 32 * 1024**2
    if answer is None:
        assert_refused(connection, 431, "HEADERS_TOO_LARGE")
    else:
        assert answer.status == 404
        assert_closed(connection)


# --- What cannot be framed


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\x0bchunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 99999999999999999999",
        "Content-Length:",
        "Content-Length : 5",
        "X: y\r\n Content-Length: 5",
        "X: y\nContent-Length: 5",
        "X: y\rContent-Length: 5",
    ],
)
@pytest.mark.parametrize("more", ["", OFFERS["h2c"]], ids=["plain", "offer"])
def test_unclear_framing_is_refused(connection: socket.socket, framing: str, more: str) -> None:
    connection.sendall(post("/nowhere", (framing, b"5\r\nhello\r\n0\r\n\r\n" + LAST), more=more))

    assert_refused(connection, 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "framing",
    [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: GZIP , Chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, deflate, chunked",
        "Transfer-Encoding: xchunked, chunked",
        "Transfer-Encoding: gzip;chunked, chunked",
    ],
)
@pytest.mark.parametrize("more", ["", OFFERS["h2c"]], ids=["plain", "offer"])
def test_transfer_coding_that_is_not_understood_is_refused(
    connection: socket.socket, framing: str, more: str
) -> None:
    connection.sendall(post("/nowhere", (framing, b"5\r\nhello\r\n0\r\n\r\n" + LAST), more=more))

    assert_refused(connection, 501, "NOT_IMPLEMENTED")


@pytest.mark.parametrize(
    "body",
    [
        b"0x5\r\nhello",
        b"-5\r\nhello",
        b" 5\r\nhello",
        b"5\nhello",
        b"5\r\nhelloX",
        b"\r\n0\r\n",
        b"fffffffffffffffff\r\n",
        b"5 \r\nhello",
    ],
)
def test_unclear_chunk_is_refused(connection: socket.socket, body: bytes) -> None:
    connection.sendall(post(ITEMS, ("Transfer-Encoding: chunked", body + b"\r\n0\r\n\r\n" + LAST)))

    assert_refused(connection, 400, "BAD_REQUEST")


# --- Several in one connection


@pytest.mark.parametrize("end", [b"this is no chunk\r\n", b"X" * 70_000], ids=["garbage", "size"])
def test_refusal_comes_in_its_turn(connection: socket.socket, end: bytes) -> None:
    ready = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    with suppress(ConnectionError):
        connection.sendall(ready * 2 + post(ITEMS, ("Transfer-Encoding: chunked", end)))

    assert read_statuses(connection) == [200, 200, 400]


def test_nothing_runs_after_the_last_request(connection: socket.socket) -> None:
    connection.sendall(LAST + HEALTH * 2)

    assert read_statuses(connection) == [200]


def test_body_that_nobody_read_is_not_the_next_request(connection: socket.socket) -> None:
    connection.sendall(post("/nowhere", with_length(HEALTH)) + LAST)

    assert read_statuses(connection) == [404, 200]


def test_body_that_comes_byte_by_byte_is_one(connection: socket.socket) -> None:
    request = post("/nowhere", in_chunks(LAST)) + LAST

    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for position in range(len(request)):
        connection.sendall(request[position : position + 1])

    assert read_statuses(connection) == [404, 200]
