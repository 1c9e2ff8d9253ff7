"""Self-service account pages, as they are served. A browser opens them in tests/e2e."""

import re
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from tests.assertions import assert_error
from tests.settings import client_with

API = "/api/v1"
# What each sends to.
PAGES = {
    "/account/change": {f"{API}/users/me/password", f"{API}/auth/login", f"{API}/auth/logout"},
    "/account/forgot": {f"{API}/auth/password/forgot"},
    "/account/password": {f"{API}/auth/password/reset"},
    "/account/resend": {f"{API}/auth/email/verify"},
    "/account/verify": {f"{API}/auth/email/verify/confirm"},
}
WAYS_ON = {"/account/change", "/account/forgot", "/account/resend"}
# After these there is nothing left to do but to sign in.
ENDS = ("/account/", "/account/change", "/account/password", "/account/verify")
AS_BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def addresses_in(page: str, kind: str = "href|src|data-action|data-login|data-logout") -> list[str]:
    return re.findall(rf'(?:{kind})="([^"]+)"', page)


@pytest.mark.parametrize("page", PAGES)
def test_account_page_is_stored_nowhere_and_loads_nothing_from_outside(
    anonymous: TestClient, page: str
) -> None:
    response = anonymous.get(page)

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["content-security-policy"].startswith("default-src 'self';")
    assert not any("//" in address for address in addresses_in(response.text))


@pytest.mark.parametrize("page", PAGES)
def test_account_page_runs_under_the_policy_of_every_answer(
    anonymous: TestClient, page: str
) -> None:
    text = anonymous.get(page).text

    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text) == []


@pytest.mark.parametrize("page", PAGES)
def test_account_page_finds_its_assets(anonymous: TestClient, page: str) -> None:
    addresses = [urljoin(page, one) for one in addresses_in(anonymous.get(page).text)]

    assets = [one for one in addresses if "/assets/" in one]
    types = {anonymous.get(one).headers["content-type"].partition(";")[0] for one in assets}
    assert types == {"text/css", "text/javascript"}


@pytest.mark.parametrize(("page", "actions"), PAGES.items())
def test_account_page_calls_the_api_where_it_is(
    anonymous: TestClient, page: str, actions: set[str]
) -> None:
    addresses = addresses_in(anonymous.get(page).text, "data-action|data-login|data-logout")

    assert {urljoin(page, one) for one in addresses} == actions
    assert {anonymous.post(one, json={}).status_code for one in actions} <= {401, 422}


def test_first_account_page_leads_to_the_others(anonymous: TestClient) -> None:
    links = addresses_in(anonymous.get("/account/").text, "href")

    assert {urljoin("/account/", one) for one in links} - {"/account/assets/account.css"} == WAYS_ON


@pytest.mark.parametrize("page", PAGES)
def test_account_page_leads_to_the_first(anonymous: TestClient, page: str) -> None:
    links = addresses_in(anonymous.get(page).text, "href")

    assert "/account/" in {urljoin(page, one) for one in links}


@pytest.mark.parametrize(
    "path", ["", "/", "/nope", "/password/", "/deeper/down", "/deeper/down/", "//evil.example.com"]
)
def test_unknown_account_page_leads_a_browser_on(anonymous: TestClient, path: str) -> None:
    response = anonymous.get(f"/account{path}", headers=AS_BROWSER)

    assert response.status_code == 200
    assert response.url.path == "/account/"
    assert "Your account" in response.text


@pytest.mark.parametrize("path", ["/", "/account", "/account/nope"])
def test_unknown_page_is_404_for_a_program(anonymous: TestClient, path: str) -> None:
    assert_error(anonymous.get(path), 404, "NOT_FOUND")


def test_root_leads_to_the_account_pages_without_a_panel(anonymous: TestClient) -> None:
    response = anonymous.get("/", headers=AS_BROWSER, follow_redirects=False)

    assert response.headers["location"] == "http://127.0.0.1:8000/account/"


def test_panel_is_where_pages_and_the_root_lead() -> None:
    with client_with(PANEL_URL="https://panel.example.com/desk") as client:
        root = client.get("/", headers=AS_BROWSER, follow_redirects=False)
        pages = {page: client.get(page).text for page in ENDS}

    assert root.headers["location"] == "https://panel.example.com/desk"
    for page, text in pages.items():
        assert "https://panel.example.com/desk" in addresses_in(text, "href"), page


def test_account_page_calls_the_api_below_the_prefix_of_a_proxy() -> None:
    client = TestClient(create_app(), root_path="/desk")

    addresses = addresses_in(client.get("/desk/account/password").text)

    found = {urljoin("/desk/account/password", one) for one in addresses}
    assert "/desk/api/v1/auth/password/reset" in found
    assert all(one.startswith("/desk/") for one in found)


def test_account_page_takes_the_api_and_the_name_from_the_settings() -> None:
    with client_with(API_V1_STR="/backend/v2", PROJECT_NAME="<b>Desk</b>") as client:
        page = client.get("/account/verify").text

    (action,) = addresses_in(page, "data-action")
    assert urljoin("/account/verify", action).startswith("/backend/v2/auth/")
    assert "&lt;b&gt;Desk&lt;/b&gt;" in page


def test_account_page_is_not_in_the_document(anonymous: TestClient) -> None:
    document = anonymous.get("/api/v1/openapi.json").json()

    assert [path for path in document["paths"] if path.startswith("/account")] == []
