"""The documentation in a real browser that can reach nothing but the server."""

import os
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.server import Server

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium here, and CI must have one")
        pytest.skip("needs Chromium")
    return found


def test_docs_page_shows_every_operation_without_any_outside_host(
    server: Server, browser: str, tmp_path: Path
) -> None:
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--virtual-time-budget=10000",
        "--dump-dom",
    ]

    page = subprocess.run(
        [browser, *arguments, f"{server.url}/docs"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert "Backdesk API" in page
    assert "Authorize" in page
    document = httpx2.get(f"{server.url}/api/v1/openapi.json").json()
    for path in document["paths"].values():
        for operation in path.values():
            assert f'id="operations-{operation["tags"][0]}-{operation["operationId"]}"' in page


def test_docs_page_signs_in_where_the_document_says(server: Server) -> None:
    document = httpx2.get(f"{server.url}/api/v1/openapi.json").json()
    (scheme,) = document["components"]["securitySchemes"].values()
    place = f"{server.url}{scheme['flows']['password']['tokenUrl']}"

    response = httpx2.post(
        place, data={"username": server.admin_email, "password": server.admin_password}
    )

    assert response.status_code == 200
