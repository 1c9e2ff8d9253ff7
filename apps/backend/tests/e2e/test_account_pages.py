"""The account pages, from an e-mail or a refusal to the last click, in a real browser."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from os import environ
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import create_engine, update

from app.models import User
from tests.conftest import POSTGRESQL, WORKER, new_postgresql_database
from tests.server import BACKEND, Server, running_server
from tests.services.browser import Page, open_browser, require_browser
from tests.services.smtp import Catcher, running_catcher

NEW_PASSWORD = "marmalade-by-the-window"
NEXT_PASSWORD = "umbrellas-in-the-hallway"
PANEL = "https://panel.example.com/"
OPEN_PANEL = "document.querySelector('[data-after=done]:not([hidden]) a')?.href"
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1100, "height": 760}


@dataclass(frozen=True)
class Desk:
    """A server with a mail server beside it."""

    server: Server
    mail: Catcher
    settings: dict[str, str]

    def post(self, path: str, **body: str) -> httpx2.Response:
        return httpx2.post(f"{self.server.url}/api/v1{path}", json=body)

    def get(self, path: str, token: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.get(f"{self.server.url}/api/v1{path}", headers=headers)

    def log_in(self, name: str, password: str) -> str:
        login = self.post("/auth/login", username=name, password=password)
        token: str = login.json()["access_token"]
        return token

    def demand_new_password(self, email: str) -> None:
        engine = create_engine(self.settings["DATABASE_URL"])
        with engine.begin() as connection:
            statement = update(User).where(User.email == email)
            connection.execute(statement.values(must_change_password=True))
        engine.dispose()

    def login_status(self, email: str, password: str) -> int:
        form = {"username": email, "password": password}
        return httpx2.post(f"{self.server.url}/api/v1/auth/login", data=form).status_code

    def link_in_next_letter(self, *, page: str) -> str:
        """Deliver what waits, and return the link of the last letter, as this server serves it."""
        subprocess.run(
            [sys.executable, "-m", "app.cli", "deliver-mail"],
            cwd=BACKEND,
            env=self.settings,
            check=True,
            capture_output=True,
        )
        (link,) = re.findall(rf"http\S+(/account/{page}#token=\S+)", self.mail.letters[-1].text)
        return f"{self.server.url}{link}"

    def register(self, email: str) -> None:
        answer = self.post("/auth/register", email=email, password=NEW_PASSWORD)
        assert answer.status_code == 201


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    require_browser()
    folder = tmp_path_factory.mktemp("desk")
    url = f"sqlite:///{folder}/desk.db"
    if POSTGRESQL is not None:
        url = new_postgresql_database(f"backdesk_desk_{WORKER}")
    with running_catcher() as mail:
        settings = mail.settings | {
            "JOBS_ENABLED": "false",
            "OPEN_REGISTRATION": "true",
            "RATE_LIMIT_ENABLED": "false",
            "PANEL_URL": PANEL,
        }
        with running_server(database_url=url, log=folder / "log", settings=settings) as server:
            shared = {"PATH": environ["PATH"], "DATABASE_URL": url}
            key = {"SECRET_KEY": "the-served-product-signs-with-this-in-tests"}
            yield Desk(server, mail, {**shared, **key, **settings})


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with open_browser(tmp_path) as page:
        page.look_like(**DESK, scheme="light")
        yield page


def link_in(answer: httpx2.Response) -> str:
    """Return the address in the text of a refusal."""
    message: str = answer.json()["message"]
    (link,) = re.findall(r"http\S+/account/\w+", message)
    return str(link)


def is_ready(page: Page) -> None:
    page.wait_for("document.querySelector('form')?.hidden === false")


def is_done(page: Page) -> None:
    page.wait_for("document.querySelector('form').hidden")


def follow(page: Page, link: str) -> None:
    """Click a link, and wait for the page behind it."""
    page.click(f"a[href='{link}']")
    page.wait_for(f"location.pathname.endsWith('/{link}')")
    is_ready(page)


def set_password(page: Page, password: str, repeated: str | None = None) -> None:
    page.type("#password", password)
    page.type("#repeated", password if repeated is None else repeated)
    page.click("[type=submit]")


def test_password_page_sets_the_password_of_the_letter(
    desk: Desk, page: Page, tmp_path: Path
) -> None:
    email = desk.server.admin_email
    desk.post("/auth/password/forgot", email=email)
    link = desk.link_in_next_letter(page="password")
    token = link.partition("#token=")[2]

    page.open(link)
    page.wait_for("!document.querySelector('form').hidden")
    address_bar = page.run("location.href")
    shown = page.run("document.documentElement.outerHTML")

    set_password(page, "short", "shorter")
    too_short, different = page.text("#password-problem"), page.text("#repeated-problem")
    set_password(page, "password123")
    page.wait_for("document.querySelector('#password-problem').textContent.includes('easy')")
    too_easy = page.run("document.activeElement.id")
    page.picture(tmp_path / "refused.png")
    set_password(page, NEW_PASSWORD)
    page.wait_for("document.querySelector('form').hidden")

    page.picture(tmp_path / "done.png")
    assert address_bar == f"{desk.server.url}/account/password"
    assert token not in shown
    assert (too_short, different) == ("At least 8 characters.", "The two are not the same.")
    assert too_easy == "password"
    assert page.text("#message") == "The password is set. Sign in with it."
    assert desk.login_status(email, NEW_PASSWORD) == 200
    assert token not in "".join(one.partition("#")[0] for one in page.requested())
    assert page.complaints() == []


def test_password_page_says_of_a_used_link_that_it_is_used(desk: Desk, page: Page) -> None:
    desk.post("/auth/password/forgot", email=desk.server.admin_email)
    link = desk.link_in_next_letter(page="password")
    desk.post("/auth/password/reset", token=link.partition("#token=")[2], password=NEW_PASSWORD)

    page.open(link)
    page.wait_for("!document.querySelector('form').hidden")
    set_password(page, f"{NEW_PASSWORD}-again")
    page.wait_for("document.querySelector('form').hidden")

    assert "already been used" in page.text("#message")


def test_password_page_shows_what_is_typed_only_when_asked(desk: Desk, page: Page) -> None:
    page.open(f"{desk.server.url}/account/password#token=anything")
    page.wait_for("!document.querySelector('form').hidden")
    types = "[...document.querySelectorAll('input')].map((one) => one.type).join()"

    before = page.run(types)
    page.click("#show")
    after = page.run(types)
    pressed = page.run("document.querySelector('#show').getAttribute('aria-pressed')")
    page.click("#show")

    assert (before, after, pressed) == ("password,password", "text,text", "true")
    assert page.run(types) == before


def test_verify_page_verifies_by_a_click_and_not_before(desk: Desk, page: Page) -> None:
    desk.register("ann@example.com")
    link = desk.link_in_next_letter(page="verify")

    httpx2.get(link.partition("#")[0])  # As a scanner of mails does, before its reader.
    page.open(link)
    page.wait_for("!document.querySelector('form').hidden")
    asked_for = [one for one in page.requested() if "/api/" in one]
    address_bar = page.run("location.href")
    page.click("[type=submit]")
    page.wait_for("document.querySelector('form').hidden")

    assert asked_for == []
    assert address_bar == f"{desk.server.url}/account/verify"
    assert page.text("#message") == "The e-mail address is confirmed."


def test_verify_page_tells_who_comes_without_a_letter(desk: Desk, page: Page) -> None:
    page.open(f"{desk.server.url}/account/verify")

    page.wait_for("document.querySelector('#message').textContent !== ''")
    assert "the link in an e-mail" in page.text("#message")
    assert page.run("document.querySelector('[data-after=failed]').hidden") is False
    assert page.run("document.querySelector('form').hidden") is True


def test_verify_page_takes_the_next_letter_in_the_same_tab(desk: Desk, page: Page) -> None:
    desk.register("ben@example.com")
    link = desk.link_in_next_letter(page="verify")
    page.open(f"{desk.server.url}/account/verify#token=of-an-older-letter")
    page.wait_for("!document.querySelector('form').hidden")

    page.run(f"location.href = {link!r}")
    page.wait_for("location.hash === ''")
    page.wait_for("!document.querySelector('form').hidden")
    page.click("[type=submit]")
    page.wait_for("document.querySelector('form').hidden")

    assert page.text("#message") == "The e-mail address is confirmed."


def test_used_link_leads_to_a_new_one(desk: Desk, page: Page) -> None:
    desk.register("cleo@example.com")
    page.open(f"{desk.server.url}/account/password#token=of-an-older-e-mail")
    is_ready(page)
    set_password(page, NEXT_PASSWORD)
    is_done(page)

    follow(page, "forgot")
    page.type("#email", "cleo@example.com")
    page.click("[type=submit]")
    is_done(page)
    page.open(desk.link_in_next_letter(page="password"))
    is_ready(page)
    set_password(page, NEXT_PASSWORD)
    is_done(page)

    assert page.run(OPEN_PANEL) == PANEL
    assert desk.login_status("cleo@example.com", NEXT_PASSWORD) == 200
    assert page.complaints() == []


def test_forgot_page_says_the_same_of_an_unknown_address(desk: Desk, page: Page) -> None:
    desk.register("dora@example.com")
    told = []
    for email in ("dora@example.com", "nobody@example.com"):
        page.open(f"{desk.server.url}/account/forgot")
        is_ready(page)
        page.type("#email", email)
        page.click("[type=submit]")
        is_done(page)
        told.append(page.text("main"))

    assert "on its way" in told[0]
    assert told[0] == told[1]


def test_forgot_page_names_what_is_no_address(desk: Desk, page: Page) -> None:
    page.open(f"{desk.server.url}/account/forgot")
    is_ready(page)

    page.click("[type=submit]")
    missing = page.text("#email-problem")
    page.type("#email", "dora at example.com")
    page.click("[type=submit]")
    page.wait_for(
        f"!['', {missing!r}].includes(document.querySelector('#email-problem').innerText)"
    )

    assert missing == "This field is required."
    assert page.run("document.activeElement.id") == "email"
    assert page.run("document.querySelector('form').hidden") is False


def test_resend_page_is_where_an_unconfirmed_user_is_led(desk: Desk, page: Page) -> None:
    desk.register("emil@example.com")
    token = desk.log_in("emil@example.com", NEW_PASSWORD)

    page.open(link_in(desk.get("/items/", token)))
    is_ready(page)
    page.type("#email", "emil@example.com")
    page.click("[type=submit]")
    is_done(page)
    page.open(desk.link_in_next_letter(page="verify"))
    is_ready(page)
    page.click("[type=submit]")
    is_done(page)

    assert page.text("#message") == "The e-mail address is confirmed."
    assert desk.get("/items/", token).status_code == 200


def test_change_page_is_where_a_user_who_must_choose_a_password_is_led(
    desk: Desk, page: Page, tmp_path: Path
) -> None:
    desk.register("fred@example.com")
    desk.demand_new_password("fred@example.com")
    token = desk.log_in("fred@example.com", NEW_PASSWORD)

    page.open(link_in(desk.get("/items/", token)))
    is_ready(page)
    page.type("#username", "fred")
    page.type("#current_password", "not-this-one")
    set_password(page, NEXT_PASSWORD)
    page.wait_for("document.querySelector('#message').innerText !== ''")
    wrong = page.text("#message")
    page.type("#current_password", NEW_PASSWORD)
    set_password(page, "password123")
    page.wait_for("document.querySelector('#password-problem').innerText !== ''")
    too_easy = page.text("#password-problem")
    page.picture(tmp_path / "refused.png")
    set_password(page, NEXT_PASSWORD)
    is_done(page)

    page.picture(tmp_path / "done.png")
    assert wrong == "The e-mail or user name, or the password, is wrong."
    assert "too easy" in too_easy
    assert "Your password is changed" in page.text("#message")
    assert page.run(OPEN_PANEL) == PANEL
    renewed = desk.log_in("fred@example.com", NEXT_PASSWORD)
    me, sessions = desk.get("/users/me/permissions", renewed), desk.get("/auth/sessions", renewed)
    assert me.json()["must_change_password"] is False
    assert len(sessions.json()) == 1  # The page's own have ended, and the older ones.
    assert desk.get("/users/me", token).status_code == 401
    assert (
        page.run("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
    )
    assert page.complaints() == []


def test_change_page_serves_whoever_signs_in(desk: Desk, page: Page) -> None:
    desk.register("gina@example.com")
    page.open(f"{desk.server.url}/account/")
    follow(page, "change")

    page.type("#username", "Gina@Example.com")
    page.type("#current_password", NEW_PASSWORD)
    set_password(page, NEXT_PASSWORD)
    is_done(page)

    assert desk.login_status("gina@example.com", NEXT_PASSWORD) == 200


@pytest.mark.parametrize("name", ["password", "verify", "forgot", "resend", "change"])
def test_account_page_fits_a_phone_and_the_dark(
    desk: Desk, page: Page, name: str, tmp_path: Path
) -> None:
    for size, scheme in ((PHONE, "dark"), (DESK, "light")):
        page.look_like(**size, scheme=scheme)
        page.open(f"{desk.server.url}/account/{name}#token=anything")
        page.wait_for("!document.querySelector('form').hidden")

        page.picture(tmp_path / f"{name}-{scheme}.png")  # To be looked at.
        overflow = page.run("document.documentElement.scrollWidth - innerWidth")
        background = page.run("getComputedStyle(document.body).backgroundColor")
        assert overflow <= 0
        assert background == {"dark": "rgb(17, 24, 39)", "light": "rgb(243, 244, 246)"}[scheme]
        assert page.complaints() == []
