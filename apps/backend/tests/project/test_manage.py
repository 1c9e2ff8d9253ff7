"""`manage.py` starts with whatever Python there is, and says what is wrong with it in one line."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import launcher
from app import __version__
from tests.project.markdown import BACKEND, TOP

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


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that needs no environment of its own."""
    return subprocess.run(
        [sys.executable, MANAGE, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_manage_tells_its_version_and_its_commands_without_an_installation() -> None:
    version, helped, empty = manage("--version"), manage("--help"), manage()

    assert (version.returncode, version.stdout) == (0, f"Backdesk {__version__}\n")
    assert (helped.returncode, empty.returncode) == (0, 2)
    assert helped.stdout == empty.stdout == f"{launcher.USAGE}\n"


@pytest.mark.parametrize("command", sorted(launcher.OWN))
def test_command_of_manage_answers_help_instead_of_running(command: str) -> None:
    helped = manage(command, "--help")

    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith(f"Usage: manage.py {command}\n")


def test_completion_needs_a_shell_that_it_knows() -> None:
    assert manage("completion").returncode == 2
    assert manage("completion", "csh").returncode == 2
    assert "complete --command manage.py" in manage("completion", "fish").stdout
    assert "bashcompinit" in manage("completion", "zsh").stdout


def test_bash_completes_commands_before_anything_is_installed(tmp_path: Path) -> None:
    script = manage("completion", "bash").stdout
    asked = f'COMP_WORDS=({MANAGE} re); COMP_CWORD=1; _backdesk {MANAGE}; echo "${{COMPREPLY[@]}}"'

    completed = subprocess.run(
        ["/bin/bash", "-c", script + asked],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (completed.stdout, completed.stderr) == ("reset-password\n", "")


def test_application_completes_options_under_the_name_of_manage() -> None:
    environment = {
        "BACKDESK_PROGRAM": "manage.py",
        launcher.COMPLETING: "complete_bash",
        "COMP_WORDS": "manage.py serve --p",
        "COMP_CWORD": "2",
    }

    completed = application(**environment)

    assert completed.stdout.split() == ["--port"]


def test_application_tells_its_version() -> None:
    assert application("--version").stdout == f"Backdesk {__version__}\n"


def test_usage_names_how_the_application_was_started() -> None:
    by_manage = application("serve", "--help", BACKDESK_PROGRAM="manage.py")
    by_itself = application("serve", "--help")

    assert "Usage: manage.py serve" in by_manage.stdout
    assert "Usage: python -m app.cli serve" in by_itself.stdout


def application(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "BACKDESK_PROGRAM"}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=BACKEND,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_first_start_makes_a_key_unless_one_is_given(tmp_path: Path) -> None:
    backend = tmp_path / "apps" / "backend"
    backend.mkdir(parents=True)
    shutil.copy(launcher.__file__, backend)
    start = [sys.executable, "-c", "import launcher; launcher.provide_secret_key()"]
    bare = {"PATH": os.environ["PATH"]}

    subprocess.run(start, cwd=backend, env=bare | {"SECRET_KEY_FILE": "key"}, check=True)
    given = (tmp_path / ".env").read_text()
    (tmp_path / ".env").write_text("SECRET_KEY_FILE=key\n")
    subprocess.run(start, cwd=backend, env=bare, check=True)
    named = (tmp_path / ".env").read_text()
    (tmp_path / ".env").unlink()
    subprocess.run(start, cwd=backend, env=bare, check=True)
    made = (tmp_path / ".env").read_text()

    assert "SECRET_KEY" not in given
    assert named == "SECRET_KEY_FILE=key\n"
    assert re.search(r"(?m)^SECRET_KEY=\S{64}$", made)
