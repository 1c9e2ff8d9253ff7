"""What the container files say is so: commands, ports, settings, files.

No container engine is needed; the files are read as text, for the facts that can be compared.
"""

import re
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from app.api.api import route_contexts
from app.cli.__main__ import cli
from app.cli.server import GRACE_SECONDS
from app.core.config import Settings
from app.main import create_app
from tests.project.markdown import BACKEND, TOP

DOCKERFILE: Final = (BACKEND / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: Final = (TOP / "docker-compose.yml").read_text(encoding="utf-8")

# Compose makes the database's address of these.
OF_COMPOSE: Final = {"POSTGRES_USER", "POSTGRES_DB"}
OTHER_NAMES: Final = {"BACKEND_CORS_ORIGINS"}  # Of ALLOWED_ORIGINS.
SERVICES: Final = ("db", "redis", "migrate", "backend", "mail")


def test_container_starts_a_command_that_exists() -> None:
    (words,) = re.findall(r"^CMD \[(.+)\]$", DOCKERFILE, re.MULTILINE)

    assert is_understood(words.replace('"', "").replace(",", ""))


def test_compose_starts_commands_that_exist() -> None:
    (line,) = re.findall(r'^    command: \["sh", "-c", "(.+)"\]$', COMPOSE, re.MULTILINE)

    commands = line.split(" && ")
    assert [command for command in commands if not is_understood(command)] == []


@pytest.mark.parametrize("command", ["python -m app.cli sreve", "python -m app.cli serve --prot 1"])
def test_wrong_command_is_found(command: str) -> None:
    assert not is_understood(command)


def test_port_is_the_same_everywhere() -> None:
    (served,) = re.findall(r'"--port", "(\d+)"', DOCKERFILE)
    (exposed,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    (asked,) = re.findall(r"http://127\.0\.0\.1:(\d+)/health\b", DOCKERFILE)
    (published,) = re.findall(r'"127\.0\.0\.1:(\d+):(\d+)"', service("backend"))

    assert published == ("8080", served)
    assert served == exposed == asked
    assert f"PUBLIC_URL=http://127.0.0.1:{published[0]} " in COMPOSE


def test_health_check_asks_a_route_that_exists() -> None:
    (path,) = re.findall(r"http://127\.0\.0\.1:\d+(/[\w/]*)", DOCKERFILE)

    assert path in {context.path for context in route_contexts(create_app())}


def test_variables_of_compose_are_settings() -> None:
    set_there = set(re.findall(r"^ +([A-Z][A-Z0-9_]+): ", COMPOSE, re.MULTILINE))
    asked_for = set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE))

    known = {*Settings.model_fields, *OTHER_NAMES, *OF_COMPOSE}
    assert {name.removesuffix("_FILE") for name in set_there | asked_for} <= known


def test_compose_hands_every_setting_on() -> None:
    shared = COMPOSE.partition("\nx-backend: ")[2].partition("\nservices:\n")[0]

    assert "    - path: .env\n" in shared


def test_compose_has_no_defaults_of_its_own_but_these() -> None:
    defaults = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]+)\}", COMPOSE))

    own = {name: value for name, value in defaults.items() if name not in OF_COMPOSE}
    assert own == {"ENVIRONMENT": "production"}


def test_compose_asks_for_what_has_no_safe_default() -> None:
    asked_for = set(re.findall(r"\$\{([A-Z0-9_]+):\?", COMPOSE))

    assert asked_for == {"PUBLIC_URL"}


def test_secrets_of_compose_are_files_that_each_service_gets() -> None:
    kept = dict(re.findall(r"^  (\w+):\n    file: (\S+)$", COMPOSE, re.MULTILINE))
    ignored = (TOP / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert kept == {name: f"./.secrets/{name}" for name in ("secret_key", "postgres_password")}
    assert "/.secrets/" in ignored
    for name in SERVICES:
        text = service(name)
        read = re.findall(r"_FILE: /run/secrets/(\w+)$", text, re.MULTILINE)
        assert listed(text, "secrets") == read


def test_secrets_of_compose_are_not_those_of_the_settings_file() -> None:
    names = re.findall(r"^  (\w+)_FILE: ", COMPOSE, re.MULTILINE)

    assert names == ["SECRET_KEY", "POSTGRES_PASSWORD"]
    assert all(f'\n  {name}: ""\n' in COMPOSE for name in names)


def test_service_is_named_as_the_documents_name_it() -> None:
    services = COMPOSE.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]

    assert re.findall(r"^  (\w+):$", services, re.MULTILINE) == list(SERVICES)


def test_container_ends_later_than_the_server_lets_requests_finish() -> None:
    backend = COMPOSE.partition("\n  backend:\n")[2]
    (seconds,) = re.findall(r"^    stop_grace_period: (\d+)s$", backend, re.MULTILINE)

    names = ("REQUEST_TIMEOUT_SECONDS", "IMPORT_TIMEOUT_SECONDS")
    longest = max(Settings.model_fields[name].default for name in names)
    assert int(seconds) > longest + GRACE_SECONDS


def test_container_has_a_python_that_the_project_supports() -> None:
    (minor,) = re.findall(r"PYTHON_IMAGE=python:3\.(\d+)\.\d+-", DOCKERFILE)
    (oldest,) = re.findall(
        r'^requires-python = ">=3\.(\d+)"$', (BACKEND / "pyproject.toml").read_text(), re.MULTILINE
    )

    assert int(minor) >= int(oldest)


def test_container_takes_files_that_exist_and_are_let_in() -> None:
    sources = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    ignored = (TOP / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [Path(line[1:]) for line in ignored if line.startswith("!")]

    assert sources != []
    for source in map(Path, sources):
        assert (TOP / source).exists()
        assert any(path.is_relative_to(source) for path in let_in), source
    assert [path for path in let_in if not (TOP / path).exists()] == []


def test_container_does_not_run_as_root() -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)

    assert int(user) > 0


def test_container_starts_its_commands_without_a_shell() -> None:
    """So that signals reach the server, not a shell that keeps them."""
    starts = re.findall(r"(?m)^(?:CMD|ENTRYPOINT|HEALTHCHECK .+ CMD) (.)", DOCKERFILE)

    assert starts == ["[", "["]


def test_container_is_given_no_secret() -> None:
    set_there = re.findall(r"^(?:ENV|ARG) +((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)

    assert set_there != []
    assert re.findall(r"(?i)secret|password|token|_key|_url", "\n".join(set_there)) == []


def test_image_lets_nothing_in_but_what_is_named() -> None:
    ignored = (TOP / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert [rule for rule in rules if re.match(r"!.*(\.env|\.git|data|\*)", rule)] == []


# --- What each service may.


def service(name: str) -> str:
    """Return what is said of a service, with what it shares with others."""
    services = COMPOSE.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]
    (text,) = re.findall(rf"^  {name}:\n((?:    .*\n|\n)+)", f"{services}\n", re.MULTILINE)
    return with_shared(text)


def with_shared(text: str) -> str:
    for shared in re.findall(r"(?:<<|environment): \*(\w+)", text):
        (more,) = re.findall(rf"&{shared}\n((?:  .*\n|\n)+)", COMPOSE)
        text += with_shared(more)
    return text


def listed(text: str, key: str) -> list[str]:
    (items,) = re.findall(rf"^ +{key}:\n((?: +- .+\n)+)", text, re.MULTILINE) or [""]
    return re.findall(r"- (.+)", items)


@pytest.mark.parametrize("name", SERVICES)
def test_service_gains_no_rights(name: str) -> None:
    text = service(name)

    assert listed(text, "cap_drop") == ["ALL"]
    assert listed(text, "security_opt") == ["no-new-privileges:true"]
    assert "privileged:" not in text
    assert "network_mode:" not in text


def test_service_is_given_back_only_what_postgresql_starts_with() -> None:
    given = {name: listed(service(name), "cap_add") for name in SERVICES}

    needed = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
    assert {name: rights for name, rights in given.items() if rights} == {"db": needed}


@pytest.mark.parametrize("name", ["redis", "migrate", "backend", "mail"])
def test_service_writes_to_memory_alone(name: str) -> None:
    text = service(name)

    assert re.search(r"^ +read_only: true$", text, re.MULTILINE)
    (folder,) = listed(text, "tmpfs")
    assert re.search(r":size=\d+m\b", folder)


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_limits_of_memory_and_processes(name: str) -> None:
    assert re.search(r"^ +mem_limit: \d+[gm]$", service(name), re.MULTILINE)
    assert re.search(r"^ +pids_limit: \d+$", service(name), re.MULTILINE)


@pytest.mark.parametrize("name", SERVICES)
def test_service_does_not_fill_the_disk_with_its_log(name: str) -> None:
    text = service(name)

    assert re.search(r"^ +max-size: \d+m$", text, re.MULTILINE)
    assert re.search(r'^ +max-file: "\d+"$', text, re.MULTILINE)


def test_service_is_reached_from_this_machine_at_most() -> None:
    published = {name: listed(service(name), "ports") for name in SERVICES}

    assert published.pop("backend") == ['"127.0.0.1:8080:8000"']
    assert published.pop("mail") == ['"127.0.0.1:8025:8025"']
    assert set(map(tuple, published.values())) == {()}


@pytest.mark.parametrize("name", ["db", "redis"])
def test_service_that_others_need_is_asked_for_its_health(name: str) -> None:
    assert "healthcheck:" in service(name)


def test_limits_are_counted_over_all_processes() -> None:
    (url,) = re.findall(r"^  REDIS_URL: (\S+)$", COMPOSE, re.MULTILINE)

    assert url.startswith("redis://redis:")
    assert "environment: *settings" in service("backend")


def is_understood(command: str) -> bool:
    """Whether the application knows the command and its options; `--help` keeps it from running."""
    start = "python -m app.cli "
    assert command.startswith(start)
    return CliRunner().invoke(cli, [*command.removeprefix(start).split(), "--help"]).exit_code == 0
