"""The documentation in a real browser that can reach nothing but the server."""

import subprocess
from pathlib import Path

import httpx2

from tests.server import Server
from tests.services.browser import ARGUMENTS, require_browser


def test_docs_page_shows_every_operation_without_any_outside_host(
    server: Server, tmp_path: Path
) -> None:
    options = [f"--user-data-dir={tmp_path}", "--virtual-time-budget=10000", "--dump-dom"]

    page = subprocess.run(
        [require_browser(), *ARGUMENTS, *options, f"{server.url}/docs"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert "Backdesk API" in page
    assert '<html lang="en">' in page
    assert "Authorize" in page
    document = httpx2.get(f"{server.url}/api/v1/openapi.json").json()
    for path in document["paths"].values():
        for operation in path.values():
            assert f'id="operations-{operation["tags"][0]}-{operation["operationId"]}"' in page


def test_docs_page_signs_in_where_the_document_says(server: Server) -> None:
    document = httpx2.get(f"{server.url}/api/v1/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]
    place = f"{server.url}{scheme['flows']['password']['tokenUrl']}"

    response = httpx2.post(
        place, data={"username": server.admin_email, "password": server.admin_password}
    )

    assert response.status_code == 200
