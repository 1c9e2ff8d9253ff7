"""The proxies of `docs/proxies` in front of a server: what they let through, and what they tell."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.absent import program
from tests.project.markdown import TOP
from tests.project.tools import require_tool
from tests.server import Server, free_port, running_server

EXAMPLES: Final = TOP / "docs" / "proxies"
START_SECONDS: Final = 10
CLIENT: Final = "127.0.0.2"  # Another address than the proxy's.
LARGE_BYTES: Final = 19 * 1024**2


@contextmanager
def proxied(kind: str, server: Server, folder: Path) -> Iterator[httpx2.Client]:
    """Run the example as it stands, but for ports, names and files."""
    port, upstream = free_port(), server.url.removeprefix("http://")
    if kind == "nginx":
        certificate, key = make_certificate(folder)
        text = (EXAMPLES / "nginx.conf").read_text()
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
        text = text.replace("127.0.0.1:8000", upstream)
        text = text.replace("/etc/ssl/certs/panel.example.com.pem", str(certificate))
        text = text.replace("/etc/ssl/private/panel.example.com.key", str(key))
        own = "".join(
            f"{name}_temp_path {folder / name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = text.replace("http {\n", f"http {{\naccess_log off;\n{own}")
        (folder / "nginx.conf").write_text(
            f"user {getuser()};\npid nginx.pid;\ndaemon off;\n{text}"
        )
        nginx = program("nginx", "/usr/sbin/nginx")
        command = [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
    else:
        text = (EXAMPLES / "Caddyfile").read_text()
        text = text.replace("panel.example.com {", f"https://localhost:{port} {{\n\ttls internal")
        text = text.replace("127.0.0.1:8000", upstream)
        text = re.sub(
            r"^\{\n", "{\n\tadmin off\n\tskip_install_trust\n", text, flags=re.MULTILINE, count=1
        )
        (folder / "Caddyfile").write_text(text)
        command = [program("caddy"), "run", "--config", str(folder / "Caddyfile")]
    environment = {
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            url = f"https://localhost:{port}"
            # The certificate is made here, for this one connection.
            transport = httpx2.HTTPTransport(verify=False, local_address=CLIENT)
            with httpx2.Client(base_url=url, transport=transport, timeout=60) as client:
                wait_until_ready(client, folder / "proxy.log")
                yield client
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def wait_until_ready(client: httpx2.Client, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"The proxy did not start:\n{log.read_text()}")
        time.sleep(0.1)


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def through_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    folder = tmp_path_factory.mktemp(request.param)
    folder.chmod(0o755)
    database = f"sqlite:///{folder / 'backdesk.db'}"
    settings = {"PUBLIC_URL": "https://localhost", "TRUSTED_PROXIES": "127.0.0.1"}
    with (
        running_server(
            database_url=database, log=folder / "server.log", settings=settings
        ) as server,
        proxied(request.param, server, folder) as client,
    ):
        form = {"username": server.admin_email, "password": server.admin_password}
        token = client.post("/api/v1/auth/login", data=form).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_proxy_hands_on_a_large_import(through_proxy: httpx2.Client) -> None:
    row = b"title,description\r\n" + b"Desk lamp," + b"x" * 15_000 + b"\r\n"
    file = row + row.split(b"\r\n", 1)[1] * (LARGE_BYTES // 15_000)

    response = through_proxy.post(
        "/api/v1/items/import?dry_run=true", files={"file": ("items.csv", file, "text/csv")}
    )

    assert response.status_code == 200, response.text[:500]
    assert response.json()["created"] > 1000


def test_proxy_refuses_what_the_server_would(through_proxy: httpx2.Client) -> None:
    response = through_proxy.post("/api/v1/items/", content=b"x" * (2 * 1024**2))

    assert response.status_code == 413


def test_proxy_hands_on_a_long_list(through_proxy: httpx2.Client) -> None:
    ids = [("id", str(number)) for number in range(1, 800)]

    response = through_proxy.get("/api/v1/items/", params=[*ids, ("limit", "1")])

    assert response.status_code == 200
    assert "strict-transport-security" in response.headers


def test_proxy_tells_the_client_s_address(through_proxy: httpx2.Client) -> None:
    made_up = {"X-Forwarded-For": "203.0.113.9"}

    created = through_proxy.post("/api/v1/items/", json={"title": "Desk"}, headers=made_up)

    of_it = {"resource_type": "item", "resource_id": created.json()["id"]}
    (event,) = through_proxy.get("/api/v1/audit/", params=of_it).json()
    assert event["ip"] == CLIENT


def test_weak_tags_of_a_proxy_are_accepted(through_proxy: httpx2.Client) -> None:
    item = through_proxy.post("/api/v1/items/", json={"title": "Lamp"})
    weak = {"If-Match": f"W/{item.headers['etag'].removeprefix('W/')}"}

    changed = through_proxy.patch(item.headers["location"], json={"title": "Desk"}, headers=weak)

    assert changed.status_code == 200


def test_traefik_keeps_to_the_schema_of_compose() -> None:
    require_tool("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    subprocess.run([*command, EXAMPLES / "traefik.yml"], check=True, timeout=120)
