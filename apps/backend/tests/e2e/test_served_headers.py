"""What the server process itself adds to an answer, beyond the application."""

import socket
from urllib.parse import urlsplit

import pytest

from tests.server import Server

REQUESTS = {
    "answer": b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "refusal": b"GET /nope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "unreadable request": b"no HTTP at all\r\n\r\n",
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_no_answer_of_the_process_names_its_server(server: Server, kind: str) -> None:
    head = ask(server, REQUESTS[kind])

    assert head.startswith("http/1.1 ")
    assert "\r\nserver:" not in head
    assert "uvicorn" not in head


def ask(server: Server, request: bytes) -> str:
    """Return the head of the answer in lower case; no client of ours would send such requests."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as line:
        line.sendall(request)
        answer = b"".join(iter(lambda: line.recv(4096), b""))
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
