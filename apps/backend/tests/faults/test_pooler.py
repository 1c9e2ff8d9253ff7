"""Behind a PgBouncer that lends connections by transaction, with its defaults, and on a database
whose own zone is not UTC.
"""

import csv
import io
import json
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx2
import psycopg2  # type: ignore[import-untyped]  # Ships no types.
import pytest
from sqlalchemy import make_url

from app.cli.__main__ import main
from tests.server import Server, running_server
from tests.services.pgbouncer import running_pgbouncer, through
from tests.services.postgresql import PostgreSQL, run
from tests.settings import changed_settings

API: Final = "/api/v1"
ITEMS: Final = f"{API}/items/"
THREADS: Final = 4
REPEATS: Final = 30
STATEMENT_SECONDS: Final = 2
SETTINGS: Final = {"STATEMENT_TIMEOUT_SECONDS": str(STATEMENT_SECONDS), "EXPORTS_AT_ONCE": "4"}


@dataclass(frozen=True)
class Served:
    server: Server
    url: str  # Of the database, past the pooler.
    pooled_url: str
    client: httpx2.Client
    log: Path


@pytest.fixture(scope="module")
def pooler(_postgresql: PostgreSQL) -> Iterator[int]:
    with running_pgbouncer(_postgresql) as port:
        yield port


@pytest.fixture(scope="module", params=["pooled", "direct"])
def served(
    request: pytest.FixtureRequest,
    _postgresql: PostgreSQL,
    pooler: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    name = f"of_tokyo_{request.param}_{secrets.token_hex(4)}"
    _postgresql.run(f"CREATE DATABASE {name}")
    _postgresql.run(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    direct = _postgresql.url(name)
    pooled = through(pooler, direct)
    log = tmp_path_factory.mktemp(name) / "log"
    url = pooled if request.param == "pooled" else direct
    with (
        running_server(database_url=url, log=log, settings=SETTINGS) as server,
        signed_in(server, server.admin_email) as client,
    ):
        yield Served(server, direct, pooled, client, log)


@contextmanager
def signed_in(server: Server, email: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=30) as client:
        form = {"username": email, "password": server.admin_password}
        token = client.post(f"{API}/auth/login", data=form).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@contextmanager
def somebody(served: Served) -> Iterator[httpx2.Client]:
    """Each who works here is somebody else: one user has a share of what there is."""
    email = f"{uuid4().hex}@example.com"
    account = {"email": email, "password": served.server.admin_password, "role": "admin"}
    assert served.client.post(f"{API}/users/", json=account).status_code == 201
    with signed_in(served.server, email) as client:
        yield client


def test_many_at_once_do_all_that_there_is(served: Served) -> None:
    told_before = len(served.log.read_text().splitlines())
    with ExitStack() as stack, ThreadPoolExecutor(THREADS) as threads:
        clients = [stack.enter_context(somebody(served)) for _ in range(THREADS)]
        at_work = [threads.submit(list, work(client, n)) for n, client in enumerate(clients)]
        answers = [answer for future in at_work for answer in future.result()]

    refused = [answer.text for answer in answers if not answer.is_success]
    told = served.log.read_text().splitlines()[told_before:]
    lines = [json.loads(line) for line in told if line[:1] == "{"]
    assert refused == []
    assert [line for line in lines if line["level"] in {"warning", "error"}] == []


def work(client: httpx2.Client, worker: int) -> Iterator[httpx2.Response]:
    for number in range(REPEATS):
        title = f"Lamp {worker} {number}"
        created = client.post(ITEMS, json={"title": title})
        yield created
        item = f"{ITEMS}{created.json()['id']}"
        again = {"Idempotency-Key": f"{worker}-{number}"}
        rows = f"title\n{title} imported\n{title} too\n"
        yield client.get(ITEMS, params={"q": title, "sort": "-title"})
        yield client.patch(item, json={"title": f"{title}!"}, headers={"If-Match": '"1"'})
        yield client.post(ITEMS, params={"dry_run": "true"}, json={"title": "Not there"})
        yield client.post(ITEMS, json={"title": f"{title} once"}, headers=again)
        yield client.post(ITEMS, json={"title": f"{title} once"}, headers=again)
        yield client.post(f"{ITEMS}import", files={"file": ("items.csv", rows, "text/csv")})
        yield client.post(f"{ITEMS}bulk", json={"items": [{"title": title}, {"title": title}]})
        for file_format in ("csv", "jsonl", "xlsx"):
            yield client.get(f"{ITEMS}export", params={"format": file_format, "q": title})
        yield client.get(f"{API}/statistics/overview")
        yield client.get(f"{API}/statistics/timeseries", params={"metric": "items"})
        yield client.get(f"{API}/users/me")
        yield client.delete(item)


def test_times_are_in_utc(served: Served) -> None:
    created = served.client.post(ITEMS, json={"title": "Clock"}).json()
    listed = served.client.get(f"{ITEMS}{created['id']}").json()
    exported = {
        file_format: served.client.get(
            f"{ITEMS}export", params={"format": file_format, "q": "Clock"}
        ).text
        for file_format in ("csv", "jsonl")
    }
    audited = served.client.get(f"{API}/audit/", params={"resource_type": "item"}).json()

    row = next(csv.DictReader(io.StringIO(exported["csv"])))
    told = {
        created["created_at"],
        listed["created_at"],
        row["created_at"],
        json.loads(exported["jsonl"].splitlines()[0])["created_at"],
    }
    assert len(told) == 1
    for text in (*told, audited[-1]["at"]):
        assert text.endswith("Z")
        assert abs(datetime.fromisoformat(text) - datetime.now(UTC)) < timedelta(minutes=10)


def test_a_day_of_the_statistics_is_one_of_utc(served: Served) -> None:
    answer = served.client.get(
        f"{API}/statistics/timeseries", params={"metric": "items", "since": "2026-11-01"}
    )
    days = {bucket["start"][10:] for bucket in answer.json()["buckets"]}

    assert days == {"T00:00:00Z"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_waiting_for_a_lock_ends_in_time(served: Served, method: str) -> None:
    body = {"title": "Lamp"} if method == "POST" else None
    with locked(served.url, "items"):
        began_at = time.monotonic()
        answer = served.client.request(method, ITEMS, json=body)
        seconds = time.monotonic() - began_at

    assert answer.json()["error"] == "LOCKED"
    assert seconds < 5 * STATEMENT_SECONDS


def test_statement_that_takes_too_long_is_ended_in_time(served: Served) -> None:
    with slow_inserts(served.url):
        answer = served.client.post(ITEMS, json={"title": "Lamp"})

    assert answer.status_code == 503
    assert answer.json()["error"] == "STATEMENT_TIMEOUT"
    assert answer.headers["Retry-After"]


def test_others_at_the_pooler_find_nothing_of_ours(served: Served) -> None:
    shown = "SELECT current_setting('statement_timeout'), current_setting('TimeZone'), "
    shown += "current_setting('default_transaction_read_only'), "
    shown += "(SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'backdesk%%')"
    served.client.get(f"{ITEMS}export")
    with ExitStack() as stack:
        others = [stack.enter_context(connected(served.pooled_url)) for _ in range(8)]
        found = set()
        for other in others:  # Each in a transaction that goes on: so none has another's.
            cursor = other.cursor()
            cursor.execute(shown)
            found.add(cursor.fetchone())

    assert found == {("0", "Asia/Tokyo", "off", 0)}


def test_commands_work(
    postgresql: PostgreSQL, pooler: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql.run("CREATE DATABASE commanded")
    pooled = through(pooler, postgresql.url("commanded"))
    commands = ("migrate", "migrate --check", "check", "seed --users 60 --items 60", "clean-up")

    for command in (*commands, "deliver-mail", "migrate --to base", "migrate"):
        assert status_of(command, monkeypatch, DATABASE_URL=pooled) == 0, command


def test_migrations_take_the_direct_way_where_one_is_named(
    postgresql: PostgreSQL, pooler: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("by_the_pooler", "by_the_direct_way"):
        postgresql.run(f"CREATE DATABASE {name}")
    direct = postgresql.url("by_the_direct_way")
    pooled = through(pooler, postgresql.url("by_the_pooler"))

    status = status_of("migrate", monkeypatch, DATABASE_URL=pooled, DATABASE_DIRECT_URL=direct)

    assert status == 0
    assert run(direct, "SELECT to_regclass('items') IS NOT NULL") == [(True,)]
    assert run(pooled, "SELECT to_regclass('items') IS NOT NULL") == [(False,)]


def status_of(command: str, monkeypatch: pytest.MonkeyPatch, **settings: str) -> int:
    monkeypatch.setattr(sys, "argv", ["backdesk", *command.split()])
    with changed_settings(**settings), pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@contextmanager
def connected(url: str) -> Iterator[Any]:
    made = make_url(url)
    options = {"host": made.host, "port": made.port, "user": made.username}
    connection = psycopg2.connect(**options, dbname=made.database)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    with connected(url) as other:
        other.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def slow_inserts(url: str) -> Iterator[None]:
    run(
        url,
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_sleep(30); RETURN NEW; END'",
    )
    run(url, "CREATE TRIGGER dawdling BEFORE INSERT ON items EXECUTE FUNCTION dawdle()")
    yield
    run(url, "DROP TRIGGER dawdling ON items")
    run(url, "DROP FUNCTION dawdle")
