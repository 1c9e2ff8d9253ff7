"""The page that tells how to add a resource is followed to the letter, in a copy."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.project.markdown import TOP, Block, code_blocks, read
from tests.project.tools import require_ruff

PAGE: Final = "how-to/add-a-resource.md"
LEFT_OUT: Final = (".*", "__pycache__", "node_modules", "data")
# Of the whole suite, what a new resource concerns.
CONCERNED: Final = [
    "tests/api/test_one_visit_everywhere.py",
    "tests/api/test_roles.py",
    "tests/api/test_round_trips.py",
    "tests/api/test_statement_counts.py",
    "tests/api/test_suppliers.py",
    "tests/project/test_documents.py",
    "tests/project/test_routes.py",
    "tests/project/test_rules.py",
    "tests/project/test_tables.py",
    "-k",
    "not (test_roles or test_one_visit_everywhere) or suppliers or table",
]


def test_how_to_add_a_resource_leads_to_green_tests(tmp_path: Path) -> None:
    require_ruff()
    backend = copy_of_the_repository(tmp_path) / "apps" / "backend"

    blocks = list(code_blocks(read(PAGE)))
    touched = sorted({backend / file_of(one) for one in blocks if one.language != "sh"})
    for block in blocks:
        if block.language != "sh":
            follow(block, backend)
            continue
        for line in block.text.splitlines():
            run_in(backend, commands(line, [path for path in touched if path.exists()]))


def copy_of_the_repository(folder: Path) -> Path:
    copy = folder / "repository"
    shutil.copytree(TOP, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for name in (".env.example", ".dockerignore"):
        shutil.copy(TOP / name, copy)
    for name in (".ci", ".github"):
        shutil.copytree(TOP / name, copy / name)
    return copy


def commands(line: str, touched: list[Path]) -> Iterator[list[str]]:
    """Name what `manage.py` would start, with the packages that are here already."""
    start, manage, name, *arguments = shlex.split(line)
    assert [start, manage] == ["python3", "manage.py"]
    if name == "lint":
        files = [str(path) for path in touched if path.suffix == ".py"]
        yield ["ruff", "check", "--no-cache", *files]
        yield ["ruff", "format", "--check", "--no-cache", *files]
    elif name == "test":
        yield ["pytest", "-n0", "-p", "no:cacheprovider", *CONCERNED]
    else:
        yield ["app.cli", name, *arguments]


def run_in(backend: Path, modules: Iterator[list[str]]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": f"sqlite:///{backend}/own.db",
    }
    for module in modules:
        run = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=backend,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{shlex.join(module)}\n{run.stdout}"


def file_of(block: Block) -> str:
    named = re.match(r"`([^`]+)`", block.announcement)
    assert named is not None, f"No file is named above:\n{block.text}"
    return named[1]


def follow(block: Block, backend: Path) -> None:
    """Write a new file, or change one as the lines with + and - say."""
    path = backend / file_of(block)
    if block.language == "python":
        assert not path.exists()
        path.write_text(block.text, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    for hunk in re.split(r"^@@\n", block.text, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        if text.count(before) != 1:
            pytest.fail(f"{path} does not hold, just once:\n{before}")
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
