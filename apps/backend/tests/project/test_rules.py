"""Rules of the house that no linter knows."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from app.api.api import route_contexts
from app.main import create_app
from tests.project.markdown import BACKEND

APP: Final = BACKEND / "app"
TESTS: Final = BACKEND / "tests"

# Commits outside db/session.py: facts that must outlive a refusal.
LAWFUL_COMMITS: Final = {
    "crud/session.py: _refuse",  # A stolen session stays ended.
}
# What opens a transaction or ends it for good.
TRANSACTIONS: Final = {"commit", "begin", "sessionmaker", "create_engine", "Session"}
# The one thing of the application that the tests' set-up changes: where settings are read from.
LAWFUL_PATCHES: Final = {("conftest.py", "Settings.model_config['env_file']")}


# --- Third parties are faked at the protocol; the application is never patched.


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS))
)
def test_tests_patch_nothing_of_the_application(path: Path) -> None:
    found = set(patches(ast.parse(path.read_text(encoding="utf-8"))))

    name = str(path.relative_to(TESTS))
    assert {(name, patch) for patch in found} <= LAWFUL_PATCHES


@pytest.mark.parametrize(
    "code",
    [
        "from unittest import mock",
        "from unittest.mock import patch",
        "import unittest.mock",
        "monkeypatch.setattr('app.core.clock.utc_now', fake)",
        "from app.core import clock\nmonkeypatch.setattr(clock, 'utc_now', fake)",
        "from app.core import clock\nclock.utc_now = fake",
        "from app.core import clock\nsetattr(clock, 'utc_now', fake)",
        "from app.core.config import get_settings\nget_settings().PUBLIC_URL = 'x'",
        "import app.core.clock\nmonkeypatch.delattr(app.core.clock, 'utc_now')",
        "from app.api.deps import get_db\nclient.app.dependency_overrides[get_db] = fake",
    ],
)
def test_patch_is_found(code: str) -> None:
    assert list(patches(ast.parse(code))) != []


@pytest.mark.parametrize(
    "code",
    [
        "monkeypatch.setenv('TZ', 'UTC')",
        "import sys\nmonkeypatch.setattr(sys, 'stdin', fake)",
        "from app.models import User\nuser = User()\nuser.role = 'admin'",
        "app = FastAPI()\napp.dependency_overrides[own] = other",
    ],
)
def test_what_is_no_patch_is_left_alone(code: str) -> None:
    assert list(patches(ast.parse(code))) == []


def patches(tree: ast.Module) -> Iterator[str]:
    """Name every place that changes the application under test, or imports a mock."""
    ours = names_from_app(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if is_mock(name.name))
            case ast.ImportFrom(module=str(module), names=names):
                yield from (name.name for name in names if is_mock(f"{module}.{name.name}"))
            case ast.Assign(targets=targets):
                yield from (ast.unparse(target) for target in targets if is_inside(target, ours))
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                yield from [ast.unparse(target)] if is_inside(target, ours) else []
            case ast.Call(func=func, args=[first, *_]) if is_setter(func):
                yield from [ast.unparse(node)] if is_ours(first, ours) else []
            case _:
                pass


def names_from_app(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=imported):
                names |= {"app" for one in imported if f"{one.name}.".startswith("app.")}
            case ast.ImportFrom(module=str(module), names=imported) if f"{module}.".startswith(
                "app."
            ):
                names |= {one.asname or one.name for one in imported}
            case _:
                pass
    return names


def is_mock(module: str) -> bool:
    return module.startswith(("unittest.mock", "mock", "pytest_mock"))


def is_setter(function: ast.expr) -> bool:
    return ast.unparse(function).rpartition(".")[2] in {"setattr", "delattr", "setitem", "delitem"}


def is_inside(target: ast.expr, ours: set[str]) -> bool:
    """Whether an attribute or an item of something of the application is assigned."""
    if isinstance(target, ast.Subscript) and "dependency_overrides" in ast.unparse(target.value):
        return is_ours(target.slice, ours)
    return isinstance(target, ast.Attribute | ast.Subscript) and is_ours(target.value, ours)


def is_ours(expression: ast.expr, ours: set[str]) -> bool:
    while True:
        match expression:
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Call(func=inner):
                expression = inner
            case ast.Constant(value=str(text)):
                return text.startswith("app.")
            case ast.Name(id=name):
                return name in ours
            case _:
                return False


# --- One place commits, and deleted rows are passed by.


def test_only_the_session_module_commits() -> None:
    found = {
        f"{path.relative_to(APP)}: {getattr(part, 'name', 'module')}"
        for path in APP.rglob("*.py")
        if path not in {APP / "db" / "session.py", APP / "db" / "driver_session.py"}
        for part in ast.parse(path.read_text(encoding="utf-8")).body
        for node in ast.walk(part)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in TRANSACTIONS
    }

    assert found == LAWFUL_COMMITS


def test_crud_uses_no_bare_tables() -> None:
    """The criterion that passes deleted rows by covers mapped attributes, not `__table__`."""
    found = {
        f"{path.relative_to(APP)}: {node.lineno}"
        for path in (APP / "crud").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "__table__"
    }

    assert found == set()


# --- Every route has a feature test.


def test_every_route_has_a_feature_test() -> None:
    tested = covered(operations(), feature_tests())

    assert operations() - tested == set()


def test_the_longest_operation_counts() -> None:
    tested = covered({"get_user", "get_user_items"}, ["test_get_user_items_pages"])

    assert tested == {"get_user_items"}


def operations() -> set[str]:
    """Name the functions behind the routes; PUT is an alias of PATCH, and HEAD of GET."""
    return {str(context.name) for context in route_contexts(create_app())}


def feature_tests() -> Iterator[str]:
    for path in (TESTS / "api").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        yield from re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)


def covered(names: set[str], tests: Iterable[str]) -> set[str]:
    found = set()
    for test in tests:
        fitting = [name for name in names if test.startswith(f"test_{name}_")]
        found |= {max(fitting, key=len)} if fitting else set()
    return found
