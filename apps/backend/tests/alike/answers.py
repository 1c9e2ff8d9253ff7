"""What an application answers in its own way and by FastAPI's stock handler, and what differs."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final
from zipfile import ZipFile

import jwt
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from app.core.config import Settings, get_settings
from app.core.rate_limit import RateLimiter
from tests.alike.operations import Case, Headers
from tests.alike.snapshot import Changes
from tests.alike.stage import Stage

WRITING: Final = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE \S+ SET|nextval\()")
ACCESS_TOKEN: Final = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+")
REFRESH_TOKEN: Final = re.compile(r'(refresh_token"?[:=]"?)[\w-]{43}')
BY_CHANCE: Final = {"hashed_password", "nonce", "token_hash"}
OURS_ALONE: Final = {"idempotency_keys"}  # The stock handler cannot store an answer.
ONCE: Final = "1/minute"
LONGEST_TOLD: Final = 1500


@dataclass(frozen=True)
class Answer:
    """With the rows that the request has changed. Whatever is drawn by lot is left out."""

    status: int
    headers: Mapping[str, Sequence[str]]
    body: str
    rows: Mapping[str, str]


def unused() -> None:
    """Overrides itself: with an override, whichever, the stock handler answers."""


class BothWays:
    """Each request finds the database as it was, and limits that nothing was counted for."""

    def __init__(self, app: FastAPI, stage: Stage, statements: list[str]) -> None:
        self._app = app
        self._stage = stage
        self._statements = statements
        # All on one event loop: through the threads of TestClient, it would take minutes.
        self._client = AsyncClient(transport=ASGITransport(app), base_url="http://testserver")

    async def by_stock(self, case: Case) -> Answer:
        return await self.with_override(case, unused, unused)

    async def with_override(self, case: Case, dependency: Any, other: Any) -> Answer:
        self._app.dependency_overrides[dependency] = other
        try:
            return await self._ask(case, case.all_headers)
        finally:
            self._app.dependency_overrides.clear()

    async def by_ours(self, case: Case) -> Answer:
        return await self._ask(case, (*case.all_headers, *case.only_ours))

    async def _ask(self, case: Case, headers: Headers) -> Answer:
        self._app.state.limiter = RateLimiter(_settings(is_strict=case.is_over_limit))
        if case.is_over_limit:
            await self._send(case, headers)
        return await self._send(case, headers)

    async def _send(self, case: Case, headers: Headers) -> Answer:
        self._statements.clear()
        response = await self._client.request(
            case.method, case.url, headers=list(headers), content=case.body
        )
        self._client.cookies.clear()
        has_written = any(WRITING.search(one) for one in self._statements)
        return _answer(response, self._stage.snapshot.undo() if has_written else {})


def _settings(*, is_strict: bool) -> Settings:
    settings = get_settings()
    limits = (name for name in Settings.model_fields if name.startswith("RATE_LIMIT_"))
    strict = dict.fromkeys(limits, ONCE) | {"RATE_LIMIT_ENABLED": True}
    return settings.model_copy(update=strict) if is_strict else settings


def _answer(response: Response, changes: Changes) -> Answer:
    def without_chance(value: object) -> str:
        text = str(value).replace(response.headers["x-request-id"], "<id>")
        text = ACCESS_TOKEN.sub(lambda token: _claims(token[0]), text)
        return REFRESH_TOKEN.sub(r"\1<token>", text)

    headers: dict[str, list[str]] = {}
    for name, value in response.headers.multi_items():
        headers.setdefault(name, []).append(without_chance(value))
    rows = {
        f"{table} {key}": without_chance(row and _without(row, BY_CHANCE))
        for table, changed in _without(changes, OURS_ALONE).items()
        for key, row in changed.items()
    }
    return Answer(response.status_code, headers, without_chance(_text(response.content)), rows)


def _without(values: Mapping[str, Any], names: AbstractSet[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _text(body: bytes) -> str:
    """Unpack spreadsheets, since what is drawn by lot stands in them too."""
    if not body.startswith(b"PK"):
        return body.decode("utf-8", "backslashreplace")
    with ZipFile(io.BytesIO(body)) as book:
        return "\n".join(f"{name}: {book.read(name).decode()}" for name in book.namelist())


def _claims(token: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return str({**claims, "jti": "<jti>"})


def differences(stock: Answer, ours: Answer) -> Iterator[str]:
    """Say where two answers differ."""
    yield from _difference("status", stock.status, ours.status)
    for name in dict.fromkeys((*stock.headers, *ours.headers)):
        yield from _difference(f"header {name}", stock.headers.get(name), ours.headers.get(name))
    yield from _difference("body", stock.body, ours.body)
    for name in dict.fromkeys((*stock.rows, *ours.rows)):
        yield from _difference(f"row of {name}", stock.rows.get(name), ours.rows.get(name))


def _difference(what: str, stock: Any, ours: Any) -> Iterator[str]:
    if stock != ours:
        yield f"    {what}"
        yield f"        FastAPI's way: {str(stock)[:LONGEST_TOLD]}"
        yield f"        our own way:   {str(ours)[:LONGEST_TOLD]}"
