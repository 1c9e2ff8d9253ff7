"""One request to one system."""

import http.client
import json
from dataclasses import dataclass
from email.message import Message
from typing import Final, Self
from urllib.parse import urlsplit

from bench.endpoints import ENDPOINTS, Endpoint
from bench.fill import CLERKS_ITEMS, USERS, step_of
from bench.systems import Running

TIMEOUT_SECONDS: Final = 60
LOGIN: Final = next(endpoint for endpoint in ENDPOINTS if endpoint.name == "login")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Rows:
    """What the placeholders of an endpoint stand for: one after the other, as in `load.lua`, so
    that no two requests change the same item at once.
    """

    items: int

    @property
    def step(self) -> int:
        return step_of(self.items)

    def fill_in(self, text: str, number: int) -> str:
        return (
            text.replace("{item}", str(self.step * (1 + number % CLERKS_ITEMS)))
            .replace("{user}", str(1 + number % USERS))
            .replace("{n}", str(number))
        )


class Connection:
    """Kept alive from request to request."""

    def __init__(self, running: Running) -> None:
        parts = urlsplit(running.url)
        self._http = http.client.HTTPConnection(
            str(parts.hostname), parts.port, timeout=TIMEOUT_SECONDS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, endpoint: Endpoint, path: str, body: str, *, token: str | None) -> Answer:
        self._http.request(endpoint.method, path, body or None, headers_of(endpoint, token))
        response = self._http.getresponse()
        return Answer(response.status, response.headers, response.read())


def headers_of(endpoint: Endpoint, token: str | None) -> dict[str, str]:
    headers = {"Content-Type": endpoint.content_type} if endpoint.body else {}
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def as_bytes(endpoint: Endpoint, rows: Rows, number: int, token: str | None) -> bytes:
    path, body = (rows.fill_in(text, number) for text in (endpoint.path, endpoint.body))
    headers = {"Host": "127.0.0.1", "User-Agent": endpoint.name} | headers_of(endpoint, token)
    if body:
        headers["Content-Length"] = str(len(body))
    lines = (f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{endpoint.method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n{body}".encode()


def token_for(running: Running, caller: int | None) -> str | None:
    """Sign in, as the system itself has it done."""
    if caller is None:
        return None
    with Connection(running) as connection:
        body = LOGIN.body.replace("{user}", str(caller))
        answer = connection.ask(LOGIN, LOGIN.path, body, token=None)
    if answer.status != LOGIN.status:
        raise RuntimeError(f"{running.system.name} refuses a login: {answer}")
    return str(json.loads(answer.body)["access_token"])
