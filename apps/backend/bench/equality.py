"""All systems answer alike, before any of them is measured."""

import csv
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from bench.asking import Answer, Connection, Rows, token_for
from bench.endpoints import JSON, Endpoint
from bench.fill import CLERK
from bench.systems import Running

# What differs from one time to the next: always, and where something was written.
CHANGING: Final = frozenset({"last_login_at", "access_token", "refresh_token"})
WRITTEN: Final = CHANGING | {"id", "created_at", "updated_at", "version"}
TOTAL: Final = "X-Total-Count"
ESTIMATED: Final = "X-Total-Count-Estimated"
REFUSED: Final = (  # An item that is not the clerk's; no token; a wrong one.
    ("/api/v1/items/{foreign}", True, 404),
    ("/api/v1/users/me", False, 401),
    ("/api/v1/items/?limit=50", False, 401),
)


class DifferentError(Exception):
    """Two systems do not answer the same."""


def check_equality(systems: Sequence[Running], endpoints: Sequence[Endpoint], rows: Rows) -> None:
    """Compare every system with the first one. Raises DifferentError."""
    for endpoint in sorted(endpoints, key=lambda one: one.writes):  # Read before it is changed.
        for number in (1, 2, 3):
            expected = _told(systems[0], endpoint, rows, number)
            for running in systems[1:]:
                _compare(endpoint, running, _told(running, endpoint, rows, number), expected)
    for running in systems:
        _check_refusals(running, rows)


def _told(running: Running, endpoint: Endpoint, rows: Rows, number: int) -> tuple[Any, str | None]:
    token = token_for(running, endpoint.caller)
    path, body = (rows.fill_in(text, number) for text in (endpoint.path, endpoint.body))
    with Connection(running) as connection:
        answer = connection.ask(endpoint, path, body, token=token)
    if answer.status != endpoint.status:
        raise DifferentError(f"{endpoint.name}: {running.system.name} answers {answer}")
    # An estimate is not compared: it says what it is.
    total = None if ESTIMATED in answer.headers else answer.headers.get(TOTAL)
    return content_of(answer, changing=WRITTEN if endpoint.writes else CHANGING), total


def content_of(answer: Answer, *, changing: frozenset[str]) -> Any:
    """Read JSON or CSV, times as times; of what is changing only that it is there."""
    if answer.headers["Content-Type"].startswith(JSON):
        return _plain(json.loads(answer.body), changing)
    return [_plain(line, changing) for line in csv.reader(answer.body.decode().splitlines())]


def _plain(value: Any, changing: frozenset[str]) -> Any:
    match value:
        case list():
            return [_plain(one, changing) for one in value]
        case dict():
            return {n: ... if n in changing else _plain(v, changing) for n, v in value.items()}
        case str():
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                return value
        case _:
            return value


def _compare(endpoint: Endpoint, running: Running, told: Any, expected: Any) -> None:
    (content, total), (expected_content, expected_total) = told, expected
    is_total_equal = None in {total, expected_total} or total == expected_total
    if content != expected_content or not is_total_equal:
        name = running.system.name
        raise DifferentError(f"{endpoint.name}: {name} answers\n{told}\nand not\n{expected}")


def _check_refusals(running: Running, rows: Rows) -> None:
    """Nobody is cheap by asking nobody who they are."""
    token = token_for(running, CLERK)
    for path, has_token, status in REFUSED:
        endpoint = Endpoint("refused", "", "GET", path.replace("{foreign}", str(rows.step + 1)))
        with Connection(running) as connection:
            answer = connection.ask(endpoint, endpoint.path, "", token=token if has_token else None)
        if answer.status != status:
            raise DifferentError(f"{path}: {running.system.name} answers {answer}")
