"""Commands at a real terminal: what they ask, and what they show there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import POSTGRESQL, WORKER, new_postgresql_database
from tests.server import BACKEND, free_port
from tests.services.terminal import run_at_terminal

WEAK, GOOD = "password123", "wallpaper-on-tuesday"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings of a local machine without a mail server, and an empty database."""
    url = f"sqlite:///{tmp_path}/terminal.db"
    if POSTGRESQL is not None:
        url = new_postgresql_database(f"backdesk_terminal_{WORKER}")
    key = "signs-at-the-terminal-in-tests-alone"
    return {"PATH": os.environ["PATH"], "TERM": "dumb", "DATABASE_URL": url, "SECRET_KEY": key}


def run(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=BACKEND,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_run_asks_for_the_first_admin_until_the_answers_are_good(
    environment: dict[str, str],
) -> None:
    port = str(free_port())
    with run_at_terminal("run", "--port", port, environment=environment) as terminal:
        terminal.answer("E-mail [admin@example.com]: ", "no address")
        no_address = terminal.answer("E-mail [admin@example.com]: ", "Ann@Example.com")
        terminal.answer("Password (empty: make one up): ", "short")
        too_short = terminal.answer("Password (empty: make one up): ", WEAK)
        common = terminal.answer("Password (empty: make one up): ", "ann@example.com")
        own_name = terminal.answer("Password (empty: make one up): ", GOOD)
        terminal.answer("The same again: ", f"{GOOD}-not")
        different = terminal.answer("Password (empty: make one up): ", GOOD)
        terminal.answer("The same again: ", GOOD)
        created = terminal.wait_for("Docs")

    assert "Error: " in no_address
    assert "Must have at least 8 characters." in too_short
    assert "it is among the most common ones" in common
    assert "it is your e-mail or user name" in own_name
    assert "The two are not the same." in different
    assert "ann@example.com" in created
    assert GOOD not in too_short + common + own_name + different + created


def test_reset_password_asks_again_for_a_weak_password(environment: dict[str, str]) -> None:
    run("migrate", environment=environment)
    run("create-admin", "--if-missing", environment=environment)

    with run_at_terminal(
        "reset-password", "admin@example.com", environment=environment
    ) as terminal:
        terminal.answer("Password (empty: make one up): ", "admin")
        refused = terminal.answer("Password (empty: make one up): ", "")
        code = terminal.end()

    assert "Must have at least 8 characters." in refused
    assert code == 0
    assert "shown only now" in terminal.shown


def test_email_without_a_mail_server_is_text_in_a_terminal(environment: dict[str, str]) -> None:
    run("migrate", environment=environment)
    run("create-admin", "--if-missing", environment=environment)

    with run_at_terminal("deliver-mail", environment=environment) as terminal:
        code = terminal.end()

    head, _, text = terminal.shown.partition("\n\nHello admin,\n")
    assert code == 0
    assert head.endswith("To: admin@example.com\nSubject: Welcome to Backdesk")
    assert "\nhttp://127.0.0.1:8000/account/\n" in text


def test_email_without_a_mail_server_is_one_line_elsewhere(environment: dict[str, str]) -> None:
    run("migrate", environment=environment)
    run("create-admin", "--if-missing", environment=environment)

    delivered = run("deliver-mail", environment=environment)

    lines = [json.loads(line) for line in delivered.stderr.splitlines()]
    (letter,) = [line for line in lines if line["event"] == "letter"]
    assert letter["to"] == "admin@example.com"
    assert letter["link"] == "http://127.0.0.1:8000/account/"
