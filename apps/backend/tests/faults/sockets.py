"""Requests written byte by byte on a socket, and the answers to them."""

import json
import re
import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, Final
from urllib.parse import urlsplit

from tests.assertions import PROBLEM_KEYS
from tests.server import Server

A_HANG: Final = 12


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def connect(server: Server) -> socket.socket:
    url = urlsplit(server.url)
    return socket.create_connection((url.hostname, url.port), timeout=A_HANG)


def read_answer(connection: socket.socket) -> Answer:
    with closing(HTTPResponse(connection)) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, json.loads(response.read()))


def read_statuses(connection: socket.socket) -> list[int]:
    """Return the statuses of all answers until the server closes."""
    received = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", received)]


def assert_refused(connection: socket.socket, status: int, code: str) -> Answer:
    """Assert a whole refusal, and that the connection is closed with it."""
    answer = read_answer(connection)
    assert (answer.status, answer.body["error"]) == (status, code)
    assert set(answer.body) == PROBLEM_KEYS
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-request-id"] == answer.body["request_id"]
    assert "server" not in answer.headers
    assert answer.headers["connection"] == "close"
    assert_closed(connection)
    return answer


def assert_closed(connection: socket.socket) -> None:
    with suppress(ConnectionResetError):
        assert connection.recv(1) == b""
