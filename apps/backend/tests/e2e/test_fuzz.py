"""Rubbish in every place of every route: it is refused, and nothing breaks.

The rubbish is drawn by chance from what broke servers elsewhere, the same in each run.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import quote, quote_from_bytes

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.main import create_app
from app.models import User
from tests.assertions import assert_error

SECRET: Final = "what-nobody-may-read"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data; boundary=x"

VALUES: Final = (  # As they stand in JSON.
    f'"{SECRET}\\u0000"',
    f'"\\ud800{SECRET}"',
    f'"{SECRET}\\udfff\\u202e\\u001b"',
    f'["{SECRET}"]',
    f'{{"{SECRET}": {{"deep": "{SECRET}"}}}}',
    f'"{SECRET}" ',
    '""',
    '" "',
    '"' + "x" * 100_000 + '"',
    "9" * 5000,
    str(2**63),
    str(-(2**64)),
    "1e999",
    "-1e999",
    "1.5",
    "-0",
    "NaN",
    "Infinity",
    "true",
    "null",
    "[]",
    "[" * 900 + "]" * 900,
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"',
    '"99999999999999"',
)
BODIES: Final = (
    b"",
    b"\0",
    b"\xff\xfe\xfd",
    b"null",
    b'"text"',
    b"[]",
    b"{",
    b"{}{}",
    b"\xef\xbb\xbf{}",
    b'{"a": 1, "a": 2}',
    b'{"\xed\xa0\x80": 1}',
    rb'{"\u0000": 1, "\ud800": 2}',
    '{"a": 1}'.encode("utf-16"),
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 5000,
    b"%00=%ff&username=%00&password=%ed%a0%80&=&&%",
    b"username[]=1&username=2&username=3&password",
    b'--x\r\nContent-Disposition: form-data; name="username"; filename="a"\r\n\r\nb\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="\0\xff"\r\n\r\n\0\r\n--x--\r\n',
    b"--x\r\nContent-Disposition: form-data\r\n\r\n--x\r\n\r\n--x--",
    b"--x\r\n" + b"A: b\r\n" * 2000,
)
CONTENT_TYPES: Final = (
    b"application/json",
    b"application/json; charset=utf-16",
    b"application/json; charset=\xff",
    FORM.encode(),
    b"application/x-www-form-urlencoded; charset=utf-7",
    b"multipart/form-data",
    b"multipart/form-data; boundary=",
    MULTIPART.encode(),
    b"text/plain",
    b"a/b/c;;;=",
    b"\xff\xfe",
    b"",
)
TEXTS: Final = (  # For paths, queries and headers, before they are encoded.
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"%",
    b"-1",
    b"0",
    b"1.0",
    b"1e999",
    b"NaN",
    b"true",
    b"null",
    b"9" * 5000,
    b"9223372036854775808",
    b"\xd9\xa3",  # A digit, in Arabic.
    b"../../etc/passwd",
    b"';--",
    b"{}",
    b"[",
    b"[" * 5000,
    b"-",
    b",,,",
    b"0001-01-01T00:00:00+14:00",
    b"x" * 10_000,
)
HEADERS: Final = (
    b"authorization",
    b"cookie",
    b"x-csrf-token",
    b"x-request-id",
    b"x-forwarded-for",
    b"idempotency-key",
    b"if-match",
    b"if-none-match",
    b"prefer",
    b"origin",
    b"sec-fetch-site",
    b"user-agent",
    b"accept",
    b"range",
)
OF_PROGRAMMERS: Final = re.compile(r"Input should|valid (string|dictionary)|instance of|String sh")


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    path_names: list[str] = field(default_factory=list)
    query_names: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    is_form: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations() -> Iterator[Operation]:
    document = create_app().openapi()
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            parameters = described.get("parameters", [])
            names = {
                place: [one["name"] for one in parameters if one["in"] == place]
                for place in ("path", "query")
            }
            content = described.get("requestBody", {}).get("content", {})
            yield Operation(
                method=method.upper(),
                path=path,
                path_names=names["path"],
                query_names=names["query"],
                fields=[*fields_of(document, content), "unknown"] if content else [],
                is_form=FORM in content,
            )


def fields_of(document: dict[str, Any], content: dict[str, Any]) -> Iterator[str]:
    for one in content.values():
        schema = one["schema"]
        for choice in schema.get("anyOf", [schema]):
            name = choice.get("$ref", "").rpartition("/")[2]
            yield from document["components"]["schemas"].get(name, {}).get("properties", [])


@dataclass
class Rubbish:
    """Where to throw what, one request after another."""

    operation: Operation
    random: Random

    def requests(self) -> Iterator[dict[str, Any]]:
        yield from self.in_the_path()
        yield from self.in_the_query()
        yield from self.in_headers()
        yield from self.in_the_body()
        if self.operation.fields:
            yield from self.in_fields()

    def url(self, value: str = "1") -> str:
        return re.sub(r"\{\w+\}", lambda _: value, self.operation.path)

    def some(self, things: tuple[Any, ...], number: int) -> list[Any]:
        return self.random.sample(things, number)

    def random_bytes(self) -> bytes:
        return self.random.randbytes(self.random.randrange(1, 200))

    def in_the_path(self) -> Iterator[dict[str, Any]]:
        for value in (*TEXTS, self.random_bytes()) if self.operation.path_names else ():
            yield {"url": self.url(quote_from_bytes(value, safe=""))}

    def in_the_query(self) -> Iterator[dict[str, Any]]:
        for name in (*self.operation.query_names, "unknown", "\0"):
            for value in (*self.some(TEXTS, 2), self.random_bytes()):
                yield {"url": f"{self.url()}?{quote(name)}={quote_from_bytes(value)}"}
        yield {"url": f"{self.url()}?{quote_from_bytes(self.random_bytes(), safe='&=')}"}

    def in_headers(self) -> Iterator[dict[str, Any]]:
        for name in HEADERS:
            for value in (*self.some(TEXTS, 2), self.random_bytes()):
                start = self.random.choice([b"", b"Bearer ", b"access_token=", b"refresh_token="])
                yield {"url": self.url(), "headers": {name: start + without_breaks(value)}}

    def in_the_body(self) -> Iterator[dict[str, Any]]:
        for body in (*BODIES, self.random_bytes()):
            usual = MULTIPART if body.startswith(b"--x") else FORM
            usual = usual if self.operation.is_form else "application/json"
            for content_type in (usual.encode(), *self.some(CONTENT_TYPES, 1)):
                headers = {b"content-type": content_type}
                yield {"url": self.url(), "content": body, "headers": headers}

    def in_fields(self) -> Iterator[dict[str, Any]]:
        names = self.operation.fields
        for name in names:
            for value in self.some(VALUES, 6):
                yield self.send({one: value if one == name else '"1"' for one in names})
                yield self.send({name: value})

    def send(self, values: dict[str, str]) -> dict[str, Any]:
        if self.operation.is_form:
            pairs = (f"{name}={quote(value, errors='replace')}" for name, value in values.items())
            content, content_type = "&".join(pairs).encode(), FORM
        else:
            pairs = (f"{json.dumps(name)}: {value}" for name, value in values.items())
            content, content_type = f"{{{', '.join(pairs)}}}".encode(), "application/json"
        headers = {b"content-type": content_type.encode()}
        return {"url": self.url(), "content": content, "headers": headers}


def without_breaks(value: bytes) -> bytes:
    """No server reads a header with these in it."""
    return re.sub(rb"[\0\r\n]", b"", value)


@pytest.fixture(params=["anonymous", "admin"])
def client(
    request: pytest.FixtureRequest,
    anonymous: TestClient,
    client_of: Callable[[User], TestClient],
    admin: User,
) -> TestClient:
    client = anonymous if request.param == "anonymous" else client_of(admin)
    client.follow_redirects = False
    return client


@pytest.mark.parametrize("operation", tuple(operations()), ids=str)
def test_route_refuses_rubbish(client: TestClient, operation: Operation) -> None:
    rubbish = Rubbish(operation, Random(str(operation)))  # noqa: S311  The same in each run.

    for sent in rubbish.requests():
        response = client.request(operation.method, **sent)
        client.cookies.clear()
        assert response.status_code < 500, (response.text, sent)
        if response.status_code >= 400:
            assert_tells_nothing(response, sent)


def assert_tells_nothing(response: Response, sent: dict[str, Any]) -> None:
    body = response.json()
    assert_error(response, response.status_code, body["error"], *body["errors"])
    texts = [body["detail"], *body["errors"].values()]
    assert [text for text in texts if OF_PROGRAMMERS.search(text)] == [], sent
    assert [text for text in texts if not text.endswith((".", "?"))] == [], sent
    if SECRET not in str(sent["url"]):
        values = {**body, "errors": list(body["errors"].values())}  # Names are the client's own.
        assert SECRET not in json.dumps(values)


def test_every_route_is_fuzzed() -> None:
    found = list(operations())

    assert len(found) > 30
    assert any(operation.is_form for operation in found)
    assert any("sort" in operation.query_names for operation in found)
    assert any("new_password" in operation.fields for operation in found)
