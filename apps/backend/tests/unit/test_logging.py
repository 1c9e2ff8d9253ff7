"""What is written to standard error, by a process of its own as a server has it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.server import BACKEND
from tests.terminal import written_to_terminal

NASTY = "one\ntwo\r\x1b[31mred\u2028\u2029\x85\0\ud800"
CRASH = "try:\n    raise RuntimeError(nasty)\nexcept RuntimeError:\n    "
SCRIPTS = {
    "plain": "structlog.get_logger('test').info('event', name=nasty, number=5)",
    "nasty event": "structlog.get_logger('test').info(nasty)",
    "nasty key": "structlog.get_logger('test').warning('event', **{nasty: 1})",
    "nasty path": "structlog.get_logger('test').warning('event', path={'deep': [nasty]})",
    "no JSON": "structlog.get_logger('test').info('event', value=object(), more={1, 2})",
    "crash": f"{CRASH}structlog.get_logger('test').exception('crash')",
    "library": "logging.getLogger('library').warning(nasty)",
    "library's values": "logging.getLogger('library').warning('said %s', nasty)",
    "library's object": "logging.getLogger('library').warning({'a': nasty})",
    "library's crash": f"{CRASH}logging.getLogger('uvicorn.error').exception('crash')",
    "context": (
        "structlog.contextvars.bind_contextvars(request_id='r1', client_request_id=nasty)\n"
        "logging.getLogger('library').warning('event')"
    ),
}
LEVELS = {
    "info": "structlog.get_logger('test').info('left out')",
    "library's info": "logging.getLogger('library').info('left out')",
    "warning": "structlog.get_logger('test').warning('event')",
    "library's warning": "logging.getLogger('library').warning('event')",
}


def lines_of(scripts: Mapping[str, str], **environment: str) -> dict[str, list[str]]:
    """Run the scripts in one process; return the lines that each writes to standard error."""
    parts = [
        "import logging, structlog, sys",
        "from app.core.logging import configure_logging",
        "configure_logging()",
        f"nasty = {NASTY!a}",
    ]
    for name, script in scripts.items():
        parts += [f"print({f'--- {name}'!r}, file=sys.stderr)", script]
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(parts)],
        cwd=BACKEND,
        env={"SECRET_KEY": "tests-sign-with-this-key-and-nobody-else-does", **environment},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert run.stdout == b""
    pieces = re.split(r"^--- (.*)\n", run.stderr.decode(), flags=re.MULTILINE)
    assert pieces[0] == ""
    return {
        name: text.removesuffix("\n").split("\n") if text else []
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


@pytest.fixture(scope="module")
def written() -> dict[str, list[str]]:
    return lines_of(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_event_stays_in_one_line_of_json(written: dict[str, list[str]], name: str) -> None:
    lines = written[name]

    assert len(lines) == 1, lines
    assert lines[0].isascii()
    assert "\x1b" not in lines[0]
    event = json.loads(lines[0])
    assert {"event", "level", "logger", "timestamp"} <= set(event)


def event_of(written: dict[str, list[str]], name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(written[name][0])
    return event


def test_event_keeps_what_it_was_told(written: dict[str, list[str]]) -> None:
    event = event_of(written, "plain")

    assert (event["event"], event["name"], event["number"]) == ("event", NASTY, 5)
    assert (event["logger"], event["level"]) == ("test", "info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event["timestamp"])


def test_event_of_a_library_has_the_same_shape(written: dict[str, list[str]]) -> None:
    event = event_of(written, "library's values")

    assert event["event"] == f"said {NASTY}"
    assert (event["logger"], event["level"]) == ("library", "warning")


@pytest.mark.parametrize("name", ["crash", "library's crash"])
def test_exception_stays_in_the_line_of_its_event(written: dict[str, list[str]], name: str) -> None:
    event = event_of(written, name)

    assert (event["event"], event["level"]) == ("crash", "error")
    assert "Traceback" in event["exception"]
    assert "RuntimeError" in event["exception"]


def test_event_carries_what_is_bound_to_its_request(written: dict[str, list[str]]) -> None:
    event = event_of(written, "context")

    assert event["request_id"] == "r1"
    assert event["client_request_id"] == NASTY


def test_events_below_the_level_are_left_out() -> None:
    lines = lines_of(LEVELS, LOG_LEVEL="WARNING")

    assert {name: len(more) for name, more in lines.items()} == {
        "info": 0,
        "library's info": 0,
        "warning": 1,
        "library's warning": 1,
    }


# --- In a terminal


START = (
    "import logging, os, structlog\n"
    "from app.core.logging import configure_logging\n"
    "configure_logging()\n"
    f"nasty = {NASTY!a}\n"
)
ACCESS = "structlog.get_logger('backdesk.access').info('request', user_id=7, address='::1', "
REQUESTS = "\n".join(
    f"{ACCESS}method={method!r}, path={path!r}, status={status}, ms={ms})"
    for method, path, status, ms in (
        ("GET", "/api/v1/items/", 200, 12.3),
        ("OPTIONS", "/api/v1/users/1", 503, 1204.0),
        ("GET", "/one\ntwo\x1b[31m\u2028", 404, 1.0),
    )
)
LINE = re.compile(r"\d\d:\d\d:\d\d \[info     \] (\S+) +(\S+) +(\d{3}) +([\d.]+) ms")


def shown(script: str, **environment: str) -> list[str]:
    text = written_to_terminal([sys.executable, "-c", f"{START}{script}"], **environment)
    return text.replace("\r\n", "\n").splitlines()


def test_request_in_a_terminal_is_one_aligned_line() -> None:
    lines = shown(REQUESTS, NO_COLOR="1")

    found = [LINE.fullmatch(line) for line in lines]
    assert [one and one.groups() for one in found] == [
        ("GET", "/api/v1/items/", "200", "12.3"),
        ("OPTIONS", "/api/v1/users/1", "503", "1204.0"),
        ("GET", r"/one\ntwo\x1b[31m\u2028", "404", "1.0"),
    ]
    assert len({len(line) for line in lines}) == 1
    assert len({one and one.start(3) for one in found}) == 1


def test_terminal_has_color_unless_it_is_unwanted() -> None:
    script = "structlog.get_logger('test').warning('event')"

    assert "\x1b[" in "".join(shown(script, NO_COLOR=""))
    assert "\x1b[" not in "".join(shown(script, NO_COLOR="1"))


def test_nothing_that_is_logged_steers_the_terminal() -> None:
    script = "\n".join(text for name, text in SCRIPTS.items() if name != "nasty key")

    lines = shown(script, NO_COLOR="1")

    assert [line for line in lines if not line.isprintable()] == []


def test_log_format_is_chosen_for_good() -> None:
    script = "structlog.get_logger('test').warning('event', number=5)"

    (in_terminal,) = shown(script, LOG_FORMAT="json")
    (elsewhere,) = lines_of({"one": script}, LOG_FORMAT="text")["one"]

    assert json.loads(in_terminal)["number"] == 5
    assert "event" in elsewhere
    assert "number=5" in elsewhere
    assert "\x1b" not in elsewhere


def test_crash_in_a_terminal_shows_no_variables() -> None:
    script = (
        "def sign_in(password): raise RuntimeError('broken')\n"
        "try:\n    sign_in(password=os.environ['SECRET_KEY'])\n"
        "except RuntimeError:\n    structlog.get_logger('test').exception('crash')\n"
    )

    lines = shown(script)

    assert lines[-1] == "RuntimeError: broken"
    assert os.environ["SECRET_KEY"] not in "".join(lines)
