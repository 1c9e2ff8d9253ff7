"""`manage.py` starts with whatever Python there is, and says what is wrong with it in one line."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import launcher
from tests.project.markdown import TOP

MANAGE: Final = TOP / "manage.py"
OLDER: Final = re.compile(r"python(2(\.\d)?|3\.\d|3\.10)")
NEWER: Final = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.FunctionDef)


def test_manage_holds_nothing_that_an_old_python_cannot_read() -> None:
    nodes = ast.walk(ast.parse(MANAGE.read_text(encoding="ascii")))

    assert [node for node in nodes if isinstance(node, NEWER)] == []


def test_old_python_is_told_in_one_line() -> None:
    folders = [Path(one) for one in os.environ["PATH"].split(os.pathsep)]
    folders += Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob("*/bin")
    found = [
        one for folder in folders for one in folder.glob("python*") if OLDER.fullmatch(one.name)
    ]

    for python in found:
        told = subprocess.run([python, MANAGE, "run"], capture_output=True, text=True, check=False)
        if "Backdesk" in told.stderr:
            assert told.returncode == 1
            assert told.stderr.startswith("Backdesk needs Python 3.11 or newer; this is ")
            assert told.stderr.count("\n") == 1
        else:  # A shim without a Python behind it.
            assert "Traceback" not in told.stderr, python


def test_environment_of_another_python_is_named(tmp_path: Path) -> None:
    backend = tmp_path / "apps" / "backend"
    backend.mkdir(parents=True)
    shutil.copy(MANAGE, tmp_path)
    shutil.copy(launcher.__file__, backend)
    (tmp_path / "requirements.txt").touch()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = /opt/python\nversion = 3.99.1\n")

    started = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert started.stderr.startswith("Installing into .venv (it is of Python 3.99, "), (
        started.stderr
    )
