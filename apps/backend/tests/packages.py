"""Packages that tests need beside our own. They lie in a cache outside of the git tree, installed
once for each state of their lock; a second run needs neither time nor network.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.absent import leave_out, program

if sys.platform != "win32":
    import fcntl

SECONDS = 180


def npm_packages(folder: Path, *, name: str) -> Path:
    """Return the `node_modules` of the folder's lock."""
    lock = folder / "package-lock.json"

    def install(target: Path) -> None:
        target.mkdir()
        for file in (".npmrc", "package.json", lock.name):
            shutil.copy(folder / file, target)
        run_installer([program("npm"), "ci", "--no-audit", "--no-fund"], cwd=target)

    return _cached(name, lock, install) / "node_modules"


def python_packages(lock: Path, *, name: str) -> Path:
    """Return the Python of an environment with what the lock names."""

    def install(target: Path) -> None:
        venv.create(target, with_pip=True)
        pip = [str(_python(target)), "-m", "pip", "install", "--no-input", "--quiet"]
        options = ["--disable-pip-version-check", "--require-hashes", "--requirement", str(lock)]
        run_installer([*pip, *options], cwd=target)

    return _python(_cached(name, lock, install))


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _cached(name: str, lock: Path, install: Callable[[Path], None]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backdesk"
    python = "{}.{}".format(*sys.version_info)
    state = hashlib.sha256(lock.read_bytes() + python.encode()).hexdigest()[:16]
    packages = cache / f"{name}-{state}"
    cache.mkdir(parents=True, exist_ok=True)
    with _one_worker_at_a_time(cache / f"{name}.lock"):
        if not packages.exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                fresh = Path(scratch) / "fresh"
                install(fresh)
                fresh.rename(packages)
    return packages


@contextmanager
def _one_worker_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_installer(command: list[str], *, cwd: Path) -> None:
    try:
        subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        leave_out(f"{Path(command[0]).name} took longer than {SECONDS} seconds")
    except subprocess.CalledProcessError as error:
        leave_out(_first_complaint(error.stderr))


def _first_complaint(output: str) -> str:
    lines = (line for line in output.splitlines() if not line.startswith(("npm warn", "WARNING")))
    return "; ".join(list(lines)[:3]) or "the packages could not be installed"
