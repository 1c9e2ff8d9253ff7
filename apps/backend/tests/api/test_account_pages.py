"""The pages behind the links in letters, as they are served. A browser opens them in tests/e2e."""

import re
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from tests.settings import client_with

PAGES = {
    "/account/password": "/api/v1/auth/password/reset",
    "/account/verify": "/api/v1/auth/email/verify/confirm",
}


def addresses_in(page: str) -> list[str]:
    return re.findall(r'(?:href|src|data-action)="([^"]+)"', page)


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


@pytest.mark.parametrize(("page", "action"), PAGES.items())
def test_account_page_calls_the_api_where_it_is(
    anonymous: TestClient, page: str, action: str
) -> None:
    addresses = addresses_in(anonymous.get(page).text)

    found = [urljoin(page, one) for one in addresses if "auth" in one]
    assert found == [action]
    assert anonymous.post(action, json={}).status_code == 422


def test_account_page_calls_the_api_below_the_prefix_of_a_proxy() -> None:
    client = TestClient(create_app(), root_path="/desk")

    addresses = addresses_in(client.get("/desk/account/password").text)

    found = {urljoin("/desk/account/password", one) for one in addresses}
    assert "/desk/api/v1/auth/password/reset" in found
    assert all(one.startswith("/desk/") for one in found)


def test_account_page_takes_the_api_and_the_name_from_the_settings() -> None:
    with client_with(API_V1_STR="/backend/v2", PROJECT_NAME="<b>Desk</b>") as client:
        page = client.get("/account/verify").text

    assert urljoin("/account/verify", addresses_in(page)[-1]).startswith("/backend/v2/auth/")
    assert "&lt;b&gt;Desk&lt;/b&gt;" in page


def test_account_page_is_not_in_the_document(anonymous: TestClient) -> None:
    document = anonymous.get("/api/v1/openapi.json").json()

    assert [path for path in document["paths"] if path.startswith("/account")] == []
