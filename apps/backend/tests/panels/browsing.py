"""What a person does with a panel, in a browser: find, click, type, read."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.services.browser import Page

WAIT_SECONDS: Final = 20
PAUSE_SECONDS: Final = 0.05
# The visible elements that a selector finds, or those of them that are called by a name.
FIND: Final = """
(selector, name) => [...document.querySelectorAll(selector)].filter((one) =>
  one.getClientRects().length > 0 && (name === null ||
    [one.getAttribute("aria-label"), one.title, one.innerText].some((own) => own?.trim() === name)))
"""
# Where to click: once it stands still, in view, and nothing lies over it.
PLACE: Final = """
(one) => {
  if (!one) return null;
  one.scrollIntoView({ block: "center", inline: "center" });
  const { x, y, width, height } = one.getBoundingClientRect();
  const place = [x + width / 2, y + height / 2];
  const hit = document.elementFromPoint(...place);
  return one.contains(hit) ? place : null;
}
"""


@dataclass(frozen=True)
class Answer:
    method: str
    path: str
    query: str
    status: int
    request: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


@dataclass
class Panel:
    page: Page
    url: str
    downloads: Path
    expected: set[str] = field(default_factory=set)  # Refusals, such as `GET /api/v1/items 403`.
    forgiven: set[int] = field(default_factory=set)
    seen_events: int = 0

    def open(self, place: str = "") -> None:
        self.page.open(f"{self.url}{place}")

    def wait(self, promise: str, until: Callable[[], Any]) -> Any:
        """Return the first true answer, or fail with the promise and what the page shows."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not (answer := until()):
            if time.monotonic() > deadline:
                raise AssertionError(f"Never came true: {promise}\n{self.seen()}")
            time.sleep(PAUSE_SECONDS)
        return answer

    def seen(self) -> str:
        self.page.picture(self.downloads / "failed.png")
        shown = self.page.run("document.body.innerText")
        return f"{self.page.run('location.href')}\n{shown}\n{self.answers()}"

    def evaluate(self, function: str, *arguments: Any) -> Any:
        given = ", ".join(json.dumps(one) for one in arguments)
        return self.page.run(f"({function})({given})")

    def texts(self, selector: str) -> list[str]:
        found = f"(selector) => ({FIND})(selector, null).map((one) => one.innerText.trim())"
        texts: list[str] = self.evaluate(found, selector)
        return texts

    def sees(self, text: str) -> None:
        self.wait(
            f"the page shows {text!r}", lambda: text in self.page.run("document.body.innerText")
        )

    def sees_at(self, selector: str, text: str) -> None:
        self.wait(f"{selector} shows {text!r}", lambda: text in self.texts(selector))

    def arrives_at(self, address: str) -> None:
        self.wait(f"arrives at {address}", lambda: self.page.run("location.href") == address)
        status = "performance.getEntriesByType('navigation')[0].responseStatus"
        assert self.page.run(status) == 200, address

    def click(self, selector: str, name: str | None = None) -> None:
        """Click the middle of an element, once it stands still and nothing covers it."""
        function = f"(selector, name) => ({PLACE})(({FIND})(selector, name)[0])"
        before: list[float] = []

        def stands_still() -> list[float] | None:
            nonlocal before
            place = self.evaluate(function, selector, name)
            still, before = place == before, place
            return place if still else None

        x, y = self.wait(f"{selector} {name or ''} can be clicked", stands_still)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def fill(self, selector: str, text: str) -> None:
        self.click(selector)
        self.page.type(selector, text)

    def sees_in_address(self, text: str) -> None:
        self.wait(f"{text!r} in the address", lambda: text in self.page.run("location.href"))

    def press(self, key: str) -> None:
        code = {"Enter": 13, "Escape": 27, "Delete": 46}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.page.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text
            )

    def set_date(self, selector: str, value: str) -> None:
        """Pick a date in the browser's own control."""
        script = """
        (selector, value) => {
          const one = document.querySelector(selector);
          const { set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
          set.call(one, value);
          one.dispatchEvent(new Event("input", { bubbles: true }));
          one.dispatchEvent(new Event("change", { bubbles: true }));
        }
        """
        self.click(selector)
        self.evaluate(script, selector, value)

    def answers(self, path: str = "") -> list[Answer]:
        """What the API has answered since the last `forget`, below a path."""
        self.page.run("0")
        sent = {
            event["params"]["requestId"]: event["params"]["request"]["method"]
            for event in self.page.events
            if event.get("method") == "Network.requestWillBeSent"
        }
        found = []
        for event in self.page.events[self.seen_events :]:
            if event.get("method") != "Network.responseReceived":
                continue
            response, request = event["params"]["response"], event["params"]["requestId"]
            address = urlsplit(response["url"])
            method = sent.get(request, "OPTIONS")
            found.append(Answer(method, address.path, address.query, response["status"], request))
        wanted = f"/api/v1{path}"
        return [one for one in found if one.path.startswith(wanted) and one.method != "OPTIONS"]

    def answered(self, method: str, path: str, status: int) -> Answer:
        def until() -> list[Answer]:
            return [
                one
                for one in self.answers(path)
                if (one.method, one.path, one.status) == (method, f"/api/v1{path}", status)
            ]

        answers: list[Answer] = self.wait(f"{method} {path} answers {status}", until)
        return answers[-1]

    def refused(self, method: str, path: str, status: int) -> dict[str, Any]:
        """Return what the API said when it refused this."""
        self.expected.add(f"{method} /api/v1{path} {status}")
        answer = self.answered(method, path, status)
        body = self.page.call("Network.getResponseBody", requestId=answer.request)["body"]
        problem: dict[str, Any] = json.loads(body)
        return problem

    def forget(self) -> None:
        self.page.run("0")
        self.seen_events = len(self.page.events)

    def forgive(self, status: int) -> None:
        """Expect refusals with this status."""
        self.forgiven.add(status)

    def complaints(self) -> list[str]:
        """Return console errors, crashes, requests that failed, and refusals nobody expected."""
        self.seen_events = 0
        refused = {
            str(one)
            for one in self.answers()
            if one.status >= 400 and one.status not in self.forgiven
        }
        told = [*self.page.complaints(), *sorted(refused - self.expected)]
        for event in self.page.events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                told.append(str(parameters["exceptionDetails"]))
            elif event.get("method") == "Network.loadingFailed" and not parameters["canceled"]:
                told.append(str(parameters))
            elif event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] in {
                "error",
                "warning",
            }:
                told.append(str([one.get("value") or one for one in parameters["args"]]))
        return told

    def picture(self, name: str) -> None:
        self.page.picture(self.downloads / f"{name}.png")

    @contextmanager
    def held(self, path: str) -> Iterator[list[str]]:
        """Hold the requests of a path back, and let them go at the end."""
        self.page.call("Fetch.enable", patterns=[{"urlPattern": f"*/api/v1{path}"}])
        held: list[str] = []
        yield held
        self.page.run("0")
        for event in self.page.events:
            if event.get("method") == "Fetch.requestPaused":
                held.append(event["params"]["requestId"])
                self.page.call("Fetch.continueRequest", requestId=held[-1])
        self.page.call("Fetch.disable")
