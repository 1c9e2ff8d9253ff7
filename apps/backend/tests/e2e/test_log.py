"""What a server that logs all it can writes down: who asked for what, and no secret."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from app.crud.letter import write_asked
from app.crud.one_time_token import token_text
from app.models import OneTimeToken, OutgoingEmail
from tests.conftest import POSTGRESQL, WORKER, new_postgresql_database
from tests.server import SIGNED_WITH, Server, free_port, running_server
from tests.settings import changed_settings

API: Final = "/api/v1"
NASTY: Final = "one\ntwo\r\x1b[31mred\u2028\u2029\x85"
PASSWORDS: Final = ("wallpaper-on-wednesday", "wallpaper-on-thursday", "wallpaper-on-friday")
SETTINGS: Final = {
    "LOG_LEVEL": "DEBUG",
    "ACCESS_LOG": "true",
    "RATE_LIMIT_ENABLED": "false",
    "OPEN_REGISTRATION": "true",
    "SECRET_KEY_PREVIOUS": "what-signed-before-the-present-key",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_SECURITY": "none",
    "EMAILS_FROM": "Backdesk <backdesk@example.com>",
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    if POSTGRESQL is not None:
        return new_postgresql_database(f"backdesk_logging_{WORKER}")
    return f"sqlite:///{tmp_path_factory.mktemp('log')}/logged.db"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def logging_server(url: str, log: Path) -> Iterator[Server]:
    mail = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    mail.start()
    settings = SETTINGS | {"SMTP_PORT": str(mail.port)}
    with running_server(database_url=url, log=log, settings=settings) as running:
        yield running
    mail.stop()


@pytest.fixture
def client(logging_server: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=logging_server.url) as client:
        yield client


def sign_in(client: httpx2.Client, password: str, **options: Any) -> httpx2.Response:
    form = {"username": "admin@example.com", "password": password}
    response = client.post(f"{API}/auth/login", data=form, **options)
    assert response.status_code == 200
    return response


def events(log: Path) -> list[dict[str, Any]]:
    """Read the log; a line that is no JSON fails. What `run` says at the start comes first."""
    lines = log.read_text(encoding="ascii").split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith("{"))
    return [json.loads(line) for line in lines[first:] if line]


def test_log_holds_no_secret_that_was_handed_out_or_in(
    logging_server: Server, client: httpx2.Client, url: str, log: Path
) -> None:
    secrets = {logging_server.admin_password, *PASSWORDS, SIGNED_WITH}
    secrets |= {SETTINGS["SECRET_KEY_PREVIOUS"], *use_bearer_tokens(client, logging_server)}

    with httpx2.Client(base_url=logging_server.url) as browser:
        secrets |= use_cookies(browser)
    secrets |= use_letters(client, url)
    refuse_passwords(client)

    written = log.read_text()
    assert len(secrets) > 15
    assert [secret for secret in secrets if secret in written] == []


def use_bearer_tokens(client: httpx2.Client, server: Server) -> set[str]:
    """Sign in, refresh, use a spent token again, and change the password."""
    first = sign_in(client, server.admin_password).json()
    form = {"refresh_token": first["refresh_token"]}
    second = client.post(f"{API}/auth/refresh", json=form).json()
    client.post(f"{API}/auth/refresh", json=form)
    change = {"current_password": server.admin_password, "new_password": PASSWORDS[0]}
    headers = {"Authorization": f"Bearer {second['access_token']}"}
    changed = client.post(f"{API}/users/me/password", json=change, headers=headers)
    assert changed.status_code == 204
    names = ("access_token", "refresh_token")
    return {pair[name] for pair in (first, second) for name in names}


def use_cookies(browser: httpx2.Client) -> set[str]:
    """Sign in by another kind of form, refresh, and sign out."""
    form = {"username": (None, "admin"), "password": (None, PASSWORDS[0])}
    signed_in = browser.post(f"{API}/auth/login", params={"mode": "cookie"}, files=form)
    secrets = set(signed_in.cookies.values())
    for action in ("refresh", "logout"):
        headers = {"X-CSRF-Token": browser.cookies["csrf_token"]}
        answer = browser.post(f"{API}/auth/{action}", headers=headers)
        assert answer.status_code in {200, 204}
        secrets |= {value for value in answer.cookies.values() if value}
    assert len(secrets) >= 5
    return secrets


def use_letters(client: httpx2.Client, url: str) -> set[str]:
    """Register, forget the password, and open the links of both letters."""
    form = {"email": "new@example.com", "password": PASSWORDS[1]}
    assert client.post(f"{API}/auth/register", json=form).status_code == 201
    client.post(f"{API}/auth/password/forgot", json={"email": form["email"]})
    tokens = one_time_tokens(url, email=form["email"])
    for token in tokens:
        reset = {"token": token, "password": PASSWORDS[2]}
        client.post(f"{API}/auth/email/verify/confirm", json={"token": token})
        client.post(f"{API}/auth/password/reset", json=reset)
    assert len(tokens) == 2
    return tokens


def refuse_passwords(client: httpx2.Client) -> None:
    """Send passwords to where they are refused."""
    password = PASSWORDS[2]
    client.post(f"{API}/auth/login", data={"username": password, "password": password})
    client.post(f"{API}/auth/login", data={"username": "admin", "password": [password, password]})
    client.post(f"{API}/auth/login", json={"username": "admin", "password": password})
    client.post(f"{API}/auth/register", json={"email": password, "password": password})
    client.post(f"{API}/auth/password/reset", json={"token": password, "password": password})
    client.get(f"{API}/users/me", headers={"Authorization": f"Bearer {password}"})
    client.get(f"{API}/users/me", headers={"Cookie": f"access_token={password}"})


def one_time_tokens(url: str, *, email: str) -> set[str]:
    """Make the links' tokens as the delivery of letters does."""
    engine = create_engine(url)
    with changed_settings(SECRET_KEY=SIGNED_WITH), Session(engine) as db:
        for letter in db.scalars(select(OutgoingEmail).where(OutgoingEmail.recipient == email)):
            write_asked(db, letter=letter)
        db.commit()
        statement = select(OneTimeToken).where(OneTimeToken.email == email)
        texts = {token_text(token) for token in db.scalars(statement)}
    engine.dispose()
    return texts


def test_request_is_logged_with_who_asked_and_from_where(
    logging_server: Server, client: httpx2.Client, log: Path
) -> None:
    user = client.post(
        f"{API}/auth/register", json={"email": "who@example.com", "password": PASSWORDS[1]}
    )
    signed_in = client.post(
        f"{API}/auth/login", data={"username": "who@example.com", "password": PASSWORDS[1]}
    )
    client.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
    me = client.get(f"{API}/users/me")

    lines = {event["request_id"]: event for event in events(log) if event["event"] == "request"}
    shown, anonymous = (lines[answer.headers["x-request-id"]] for answer in (me, user))
    assert (shown["method"], shown["path"], shown["status"]) == ("GET", f"{API}/users/me", 200)
    assert (shown["user_id"], shown["address"]) == (me.json()["id"], "127.0.0.1")
    assert lines[signed_in.headers["x-request-id"]]["user_id"] == me.json()["id"]
    assert (anonymous["user_id"], anonymous["address"]) == (None, "127.0.0.1")


def test_request_stays_in_one_line_whatever_it_says(client: httpx2.Client, log: Path) -> None:
    path = "one%0Atwo%0D%1B%5B31mred%E2%80%A8%E2%80%A9%C2%85"
    headers = {b"X-Request-ID": "one\u2028two\u2029\x85".encode()}

    before = len(events(log))
    answers = [
        client.get(f"/{path}", headers=headers),
        client.post(f"{API}/auth/login", data={"username": NASTY, "password": NASTY}),
        client.get(f"{API}/users/", params={"q": NASTY}),
    ]

    assert [answer.status_code for answer in answers] == [404, 401, 401]
    written = [event["path"] for event in events(log)[before:] if event["event"] == "request"]
    assert written == [f"/{NASTY}", f"{API}/auth/login", f"{API}/users/"]
