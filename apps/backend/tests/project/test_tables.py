"""The tables of settings and of errors, and `.env.example`, are compared with the code."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from pydantic import SecretStr, ValidationError

from app.api.error_handlers import INVALID_JSON, INVALID_REQUEST, status_of
from app.core.config import Settings
from app.core.errors import DomainError
from app.core.permissions import ROLE_PERMISSIONS, ROLE_SCOPES, VERIFIED_ONLY, Permission, Role
from app.main import create_app
from app.middleware.address import HOST_NOT_ALLOWED, ORIGIN_NOT_ALLOWED
from app.middleware.admission import OVERLOADED
from app.middleware.problem import DEFAULTS
from tests.project.markdown import TOP, in_backticks, read, table

ENV_EXAMPLE: Final = TOP / ".env.example"
# What the container's database is made with; the application reads DATABASE_URL.
COMPOSE_ONLY: Final = {"POSTGRES_USER", "POSTGRES_DB"}
# Settings without a default, for which the example shows a value.
EXAMPLES: Final = {"FIRST_ADMIN_EMAIL", "FIRST_ADMIN_PASSWORD"}


# --- Settings


def test_settings_table_is_the_settings() -> None:
    rows = table(read("settings.md"), "Name", "Default", "Meaning")

    documented = {name.strip("`"): default.strip("`") for name, default, _ in rows}
    assert documented == {name: default_of(name) for name in Settings.model_fields}


def test_settings_table_means_what_the_code_says() -> None:
    rows = table(read("settings.md"), "Name", "Default", "Meaning")

    for name, _, meaning in rows:
        described = Settings.model_fields[name.strip("`")].description
        assert meaning == (described or meaning)
        assert meaning.endswith(".")


def test_env_example_has_every_setting_with_its_default() -> None:
    given = {name: value for _, name, value in read_env_example()}

    expected = {name: default_of(name) for name in Settings.model_fields}
    expected = {name: "" if default == "none" else default for name, default in expected.items()}
    assert set(given) == set(expected) | COMPOSE_ONLY
    for name in set(expected) - EXAMPLES:
        assert given[name] == expected[name], name


def test_env_example_explains_every_setting() -> None:
    for comment, name, _ in read_env_example():
        assert re.fullmatch(r"# [A-Z].*\.", comment), name


def test_env_example_changes_nothing_when_copied() -> None:
    lines = ENV_EXAMPLE.read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []


def test_env_example_is_refused_outside_local(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for _, name, value in read_env_example():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENVIRONMENT", "production")

    with pytest.raises(ValidationError) as refusal:
        Settings()

    causes = {one["loc"][0] for one in refusal.value.errors()}
    assert causes == {"ALLOWED_HOSTS", "SECRET_KEY", "FIRST_ADMIN_PASSWORD"}


def read_env_example() -> list[tuple[str, str, str]]:
    """Return the line above each setting, its name and its value."""
    lines = ENV_EXAMPLE.read_text(encoding="utf-8").splitlines()
    found = []
    for above, line in zip(["", *lines], lines, strict=False):
        if setting := re.fullmatch(r"#([A-Z][A-Z0-9_]+)=(.*)", line):
            found.append((above, setting[1], setting[2]))
    return found


def default_of(name: str) -> str:
    default: Any = Settings.model_fields[name].default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default == "":
        return "none"
    return str(default).lower() if isinstance(default, bool) else str(default)


# --- Roles


def test_roles_table_is_the_permissions_and_scopes() -> None:
    rows = table(read("security.md"), "Permission", *Role)

    documented = {name.strip("`"): [cell.strip("`") for cell in cells] for name, *cells in rows}
    expected = {
        permission: ["yes" if permission in ROLE_PERMISSIONS[role] else "" for role in Role]
        for permission in Permission
    }
    assert documented == expected | {"Scope": [ROLE_SCOPES[role] for role in Role]}


def test_roles_table_names_what_needs_a_verified_address() -> None:
    text = read("security.md").partition("\n## Roles\n")[2].partition("\n## ")[0]
    (sentence,) = re.findall(r"(?s)has the scope `own`\. (.+?) need a verified", text)

    assert set(in_backticks(sentence)) == VERIFIED_ONLY


# --- Errors


def test_errors_table_is_the_codes() -> None:
    rows = table(read("errors.md"), "Code", "Status", "When")

    documented = {(code.strip("`"), int(status)) for code, status, _ in rows}
    assert documented == {*domain_codes(), *framework_codes()}


def test_error_codes_are_documented_once() -> None:
    rows = table(read("errors.md"), "Code", "Status", "When")

    codes = [code for code, *_ in rows]
    assert len(codes) == len(set(codes))


def domain_codes() -> Iterator[tuple[str, int]]:
    create_app()  # Whatever the application is made of is imported now.
    for error in subclasses(DomainError):
        if error.__module__.startswith("app."):
            yield error.code, status_of(error)


def subclasses(error: type[DomainError]) -> Iterator[type[DomainError]]:
    for one in error.__subclasses__():
        yield one
        yield from subclasses(one)


def framework_codes() -> Iterator[tuple[str, int]]:
    for status, (code, _) in DEFAULTS.items():
        yield code, status
    yield INVALID_JSON[0], 400
    yield INVALID_REQUEST[0], 422
    yield HOST_NOT_ALLOWED, 400
    yield ORIGIN_NOT_ALLOWED, 400
    yield OVERLOADED, 503
