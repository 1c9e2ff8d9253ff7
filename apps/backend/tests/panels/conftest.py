"""A server, a panel in front of it, and browsers."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import POSTGRESQL, WORKER, new_postgresql_database
from tests.panels.browsing import Panel
from tests.panels.building import build, static_server, write_sources
from tests.panels.react_admin import ReactAdmin
from tests.panels.refine import Refine
from tests.server import Server, running_server
from tests.services.browser import open_browser, require_browser

Record = dict[str, Any]
Driver = ReactAdmin | Refine
OpenPanel = Callable[..., Driver]


@dataclass(frozen=True)
class Api:
    """The API, as somebody beside the panel uses it."""

    server: Server

    @property
    def url(self) -> str:
        return f"{self.server.url}/api/v1"

    def sign_in(self, email: str | None = None) -> Record:
        form = {"username": email or self.server.admin_email}
        form["password"] = self.server.admin_password
        answer = httpx2.post(f"{self.url}/auth/login", data=form)
        assert answer.status_code == 200, answer.text
        session: Record = answer.json()
        return session

    def send(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.sign_in()['access_token']}"}
        answer = httpx2.request(method, f"{self.url}{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def make_items(self, *titles: str, **values: Any) -> list[Record]:
        items = [{"title": title, **values} for title in titles]
        made: list[Record] = self.send("POST", "/items/bulk", {"items": items})
        return made

    def make_user(self, email: str, **values: Any) -> Record:
        password = self.server.admin_password
        user: Record = self.send(
            "POST", "/users/", {"email": email, "password": password, **values}
        )
        return user

    def titles(self, q: str) -> list[str]:
        return [item["title"] for item in self.send("GET", f"/items/?q={q}&sort=title")]


@dataclass(frozen=True)
class Place:
    """Where a panel is, and the API behind it."""

    url: str
    api: Api
    driver: type[Driver]


@pytest.fixture(scope="session", params=[ReactAdmin, Refine], ids=["react_admin", "refine"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Build the panel that a page shows, and serve it from an origin of its own."""
    require_browser()
    driver: type[Driver] = request.param
    folder = tmp_path_factory.mktemp("panel")
    url = f"sqlite:///{folder}/panel.db"
    if POSTGRESQL is not None:
        url = new_postgresql_database(f"backdesk_panel_{WORKER}")
    with static_server() as panel:
        settings = {"ALLOWED_ORIGINS": json.dumps([panel.url])}
        log = folder / "log"
        with running_server(database_url=url, log=log, settings=settings) as server:
            write_sources(folder / "panel", "connect-a-panel.md", driver.source)
            panel.serve(build(folder / "panel", api_url=f"{server.url}/api/v1"))
            yield Place(panel.url, Api(server), driver)


@pytest.fixture(scope="session")
def api(place: Place) -> Api:
    return place.api


@pytest.fixture
def open_panel(place: Place, tmp_path: Path) -> Iterator[OpenPanel]:
    """Open the panel in a browser of its own; at the end, nothing may have gone wrong there."""
    panels: list[Driver] = []
    with ExitStack() as browsers:

        def open_panel(email: str | None = None) -> Driver:
            """Signed in already, if an e-mail is given."""
            folder = tmp_path / f"browser{len(panels)}"
            folder.mkdir()
            page = browsers.enter_context(open_browser(folder))
            page.look_like(width=1280, height=900, scheme="light")
            page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
            panel = place.driver(page, place.url, folder)
            panels.append(panel)
            if email is not None:
                store_session(panel, place.api.sign_in(email))
            return panel

        yield open_panel
        for panel in panels:
            assert panel.complaints() == []


def store_session(panel: Panel, session: Record) -> None:
    """Sign in as the panel's session file does."""
    panel.open("/empty.html")  # The panel itself would sign out what is not signed in.
    expires_at = "Date.now() + expires_in * 1000"
    panel.evaluate(
        "({ access_token, refresh_token, expires_in }) => localStorage.setItem('backdesk-session',"
        f" JSON.stringify({{ access_token, refresh_token, expires_at: {expires_at} }}))",
        session,
    )
    panel.forget()


@pytest.fixture
def panel(open_panel: OpenPanel, api: Api) -> Driver:
    return open_panel(api.server.admin_email)
