"""The documents name what exists: files, folders, links, functions, commands."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import typer

import launcher
from app.cli.__main__ import cli
from tests.project.markdown import (
    BACKEND,
    DOCS,
    TOP,
    anchors,
    code_blocks,
    documents,
    in_backticks,
    links,
    read,
)

ENV_EXAMPLE: Final = TOP / ".env.example"
# Where a document may start a path from.
ROOTS: Final = (TOP, BACKEND, BACKEND / "app", BACKEND / "tests", DOCS)
# Written by the set-up or at run time, so not in a fresh clone.
MADE_LATER: Final = {
    ".env",
    ".secrets/",
    ".secrets/postgres_password",
    ".secrets/secret_key",
    ".venv",
    "build/bench",
    "build/emails/",
    "build/peers",
    "build/sbom.json",
    "data",
    "data/backdesk.db",
    "data/backdesk.db-shm",
    "data/backdesk.db-wal",
}
FILE: Final = re.compile(
    r"[\w.-]*(/[\w.-]+)+/?|[\w.-]+/|\.[a-z]\w+"
    r"|[\w-]+\.(py|md|toml|ini|yml|yaml|txt|in|json|mjs|mako)"
)
NO_FILE: Final = re.compile(r"/.*|(application|text)/.*|\.\.?/?|\d+/(minute|hour)")
NEW_FILE: Final = re.compile(r"`([^`]+)`.*\bnew\b")
# What looks like a name in the code: some_name, SomeName, some_name(), Some.name.
NAME: Final = re.compile(r"[A-Za-z_][\w.]*(\([^)]*\))?")
NAME_MARK: Final = re.compile(r"\w_\w|[a-z][A-Z]|\)$")
# Commands of `manage.py` itself; the others are the application's.
OF_MANAGE: Final = {"run", "test", "lint", "audit", "bench", "lock", "completion"}

of_each_document = pytest.mark.parametrize(
    "document", documents(), ids=lambda path: str(path.relative_to(TOP))
)


def test_documents_are_read() -> None:
    names = {str(path.relative_to(TOP)) for path in documents()}

    assert {"README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/errors.md"} <= names


@of_each_document
def test_files_named_in_a_document_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    made = {new[1] for block in code_blocks(text) if (new := NEW_FILE.search(block.announcement))}

    named = {name for name in in_backticks(text) if FILE.fullmatch(name)}
    missing = {
        name
        for name in named - made - MADE_LATER
        if not NO_FILE.fullmatch(name) and not any((root / name).exists() for root in ROOTS)
    }
    assert missing == set()


@of_each_document
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    for link in links(document.read_text(encoding="utf-8")):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@of_each_document
def test_names_of_the_code_in_a_document_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    own = "".join(block.text for block in code_blocks(text))
    known = words(own) | words_of_the_code()

    named = {one for one in in_backticks(text) if NAME.fullmatch(one) and NAME_MARK.search(one)}
    missing = {one for one in named if not words(one.partition("(")[0]) <= known}
    assert missing == set()


@of_each_document
def test_commands_in_a_document_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    group = typer.main.get_command(cli)
    known = {*OF_MANAGE, *getattr(group, "commands", {})}

    named = re.findall(r"(?:manage\.py|-m app\.cli) ([a-z][\w-]*)", text)
    assert set(named) - known == set()


@cache
def words_of_the_code() -> frozenset[str]:
    files = [*BACKEND.rglob("*.py"), BACKEND / "pyproject.toml", TOP / "manage.py", ENV_EXAMPLE]
    return frozenset().union(*(words(path.read_text(encoding="utf-8")) for path in files))


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


def test_help_of_manage_lists_every_command() -> None:
    group = typer.main.get_command(cli)

    listed = re.findall(r"(?m)^  ([a-z-]+)  ", launcher.USAGE)
    assert sorted(listed) == sorted({*OF_MANAGE, *getattr(group, "commands", {})})


def test_folders_of_the_architecture_are_those_on_disk() -> None:
    tree = next(block for block in code_blocks(read("architecture.md")) if "apps/" in block.text)

    assert set(folders_in(tree.text)) == set(folders_on_disk())


def test_files_in_the_tree_of_the_architecture_exist() -> None:
    tree = next(block for block in code_blocks(read("architecture.md")) if "apps/" in block.text)

    missing = {path for path in paths_in(tree.text) if not (TOP / path).exists()}
    assert missing - MADE_LATER == set()


def folders_in(tree: str) -> Iterator[str]:
    return (path.rstrip("/") for path in paths_in(tree) if path.endswith("/"))


def paths_in(tree: str) -> Iterator[str]:
    """Read a tree in which two spaces more mean one folder deeper; a name ends at two spaces."""
    parents: list[str] = []
    for line in tree.splitlines():
        name = line.strip().split("  ")[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = "".join(parents[:depth]) + name
        parents[depth:] = [name]
        yield path


def folders_on_disk() -> Iterator[str]:
    """Name every folder that holds something of the project; what is hidden holds tools' own."""
    made = {"__pycache__", "node_modules", "build", "data"}
    for place, below, files in os.walk(TOP):
        below[:] = [name for name in below if name not in made and not name.startswith(".")]
        if Path(place) != TOP and (files or below):
            yield str(Path(place).relative_to(TOP))


def test_decisions_are_indexed() -> None:
    index = read("decisions/README.md")

    pages = {path.name for path in (DOCS / "decisions").glob("[0-9]*.md")}
    assert pages == set(links(index)) - {"../architecture.md"}


def test_decisions_are_numbered_without_a_gap() -> None:
    pages = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))

    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))


@pytest.mark.parametrize(
    "page", sorted((DOCS / "decisions").glob("[0-9]*.md")), ids=lambda path: path.stem
)
def test_decision_has_its_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Choice", "What it costs"]
    assert 15 <= len(text.splitlines()) <= 40
