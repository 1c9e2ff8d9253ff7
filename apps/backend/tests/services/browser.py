"""A real browser, driven over its own pipe (Chrome DevTools Protocol), that reaches only this
machine.
"""

import base64
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Final

from tests.absent import program

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WAIT_SECONDS: Final = 30
# The browser reads commands from descriptor 3 and writes answers to 4.
TAKE_PIPES: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)


def require_browser() -> str:
    return program(*BROWSERS)


@dataclass
class Page:
    commands: BinaryIO
    answers: BinaryIO
    session: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while (answer := self._read()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (character := self.answers.read(1)) != b"\0":
            assert character, "the browser has gone"
            text += character
        answer: dict[str, Any] = json.loads(text)
        return answer

    def open(self, address: str) -> None:
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.run(script):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.05)

    def type(self, selector: str, text: str) -> None:
        """Type as a person does, over what stands there."""
        self.run(f"document.querySelector({selector!r}).select()")
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        place = self.run(
            f"(() => {{ const one = document.querySelector({selector!r}); one.scrollIntoView();"
            " const {x, y, width, height} = one.getBoundingClientRect();"
            " return [x + width / 2, y + height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=place[0],
                y=place[1],
                button="left",
                clickCount=1,
            )

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({selector!r}).innerText"))

    def look_like(self, *, width: int, height: int, scheme: str) -> None:
        """Be a phone, or a room in the dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def requested(self) -> list[str]:
        """Return the addresses that were asked for, since the page was made."""
        self.run("0")
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """Return what the browser has refused or found wrong, but answers that are refusals."""
        self.run("0")
        entries = [
            event["params"]["entry"]
            for event in self.events
            if event.get("method") == "Log.entryAdded"
        ]
        refusals = ("/api/", "/favicon.ico")
        return [
            entry["text"]
            for entry in entries
            if entry["level"] in {"warning", "error"}
            and not any(one in entry.get("url", "") for one in refusals)
        ]


@contextmanager
def open_browser(folder: Path) -> Iterator[Page]:
    """Start a browser with an empty profile in the folder, and one page."""
    browser = require_browser()
    (commands_out, commands_in), (answers_out, answers_in) = os.pipe(), os.pipe()
    given = [_out_of_the_way(one) for one in (commands_out, answers_in)]
    trampoline = [sys.executable, "-c", TAKE_PIPES, *map(str, given)]
    arguments = [browser, *ARGUMENTS, f"--user-data-dir={folder}", "--remote-debugging-pipe"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*trampoline, *arguments], pass_fds=given, stdout=log, stderr=subprocess.STDOUT
        )
    for one in given:
        os.close(one)
    try:
        with os.fdopen(commands_in, "wb") as commands, os.fdopen(answers_out, "rb") as answers:
            page = Page(commands, answers)
            target = page.call("Target.createTarget", url="about:blank")
            attached = page.call("Target.attachToTarget", flatten=True, **target)
            page.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                page.call(f"{domain}.enable")
            yield page
    finally:
        process.terminate()
        process.wait(timeout=WAIT_SECONDS)


def _out_of_the_way(descriptor: int) -> int:
    """Move a descriptor off 3 and 4, which the browser wants."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
