"""The OpenAPI document for those who read it by machine: linters, and the generators of clients.

Each client is generated, compiled and asked to do a panel's day on a running server.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from tests.absent import program
from tests.packages import npm_packages, python_packages
from tests.server import BACKEND, Server

PACKAGES = Path(__file__).parent / "packages"
PYTHON_LOCK = BACKEND.parents[1] / "requirements" / "clients.txt"
# By the package that each generator makes.
PYTHON_CLIENTS = {
    "attrs_client": "import openapi_python_client.cli as one; one.app()",
    "pydantic_client": "import openapi_generator_cli as one; one.cli()",
}
PYTHON_OPTIONS = {
    "attrs_client": "generate --path openapi.json --output-path attrs_client --meta none "
    "--fail-on-warning",
    "pydantic_client": "generate --input-spec openapi.json --generator-name python --output . "
    "--package-name pydantic_client",
}
TYPESCRIPT_CLIENTS = {
    "openapi_fetch": "openapi-typescript openapi.json --output schema.d.ts "
    "--default-non-nullable=false",
    "hey_api": "openapi-ts",
}


@pytest.fixture
def folder(server: Server, tmp_path: Path) -> Path:
    """The document, and what a client is generated with."""
    document = httpx2.get(f"{server.url}/api/v1/openapi.json", trust_env=False)
    (tmp_path / "openapi.json").write_bytes(document.content)
    shutil.copytree(PACKAGES, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def node_folder(folder: Path) -> Path:
    packages = npm_packages(PACKAGES, name="generated-clients")
    (folder / "node_modules").symlink_to(packages, target_is_directory=True)
    return folder


def run(folder: Path, *command: str | Path, more: Mapping[str, str] | None = None) -> str:
    """Return what a command prints. It has to succeed."""
    quiet = {"REDOCLY_TELEMETRY": "off", "NO_COLOR": "1", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "no_proxy": "127.0.0.1", **quiet, **(more or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:]
    return done.stdout


def access(server: Server) -> dict[str, str]:
    return {
        "API_URL": server.url,
        "EMAIL": server.admin_email,
        "PASSWORD": server.admin_password,
    }


def test_linters_find_nothing(node_folder: Path) -> None:
    (node_folder / ".spectral.json").write_text('{"extends": ["spectral:oas"]}')
    tools = node_folder / "node_modules" / ".bin"

    found = run(node_folder, tools / "redocly", "lint", "openapi.json", "--format=json")
    run(node_folder, tools / "spectral", "lint", "openapi.json", "--fail-severity=hint")

    told, _ = json.JSONDecoder().raw_decode(found, found.index("{"))
    assert told["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


@pytest.mark.parametrize("client", TYPESCRIPT_CLIENTS)
def test_typescript_client_compiles_and_does_a_panels_work(
    node_folder: Path, server: Server, client: str
) -> None:
    tools = node_folder / "node_modules" / ".bin"
    generator, *options = TYPESCRIPT_CLIENTS[client].split()
    (node_folder / "tsconfig.json").write_text(
        (node_folder / "tsconfig.json").read_text().replace("*.ts", f"{client}.ts")
    )

    run(node_folder, tools / generator, *options)
    run(node_folder, tools / "tsc", "--project", ".")
    run(node_folder, program("node"), f"built/{client}.js", more=access(server))


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
def test_python_client_compiles_and_does_a_panels_work(
    folder: Path, server: Server, client: str
) -> None:
    program("java")
    python = python_packages(PYTHON_LOCK, name="python-clients")
    path = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}  # One formats by ruff.

    run(folder, python, "-c", PYTHON_CLIENTS[client], *PYTHON_OPTIONS[client].split(), more=path)
    run(folder, python, "-W", "error", "-m", "compileall", "-q", client)
    # What the generators write is typed as far as they go: their user is checked strictly.
    run(folder, python, "-m", "mypy", "--strict", "--follow-imports=silent", f"{client}_use.py")
    run(folder, python, "-W", "error", f"{client}_use.py", more=access(server))
