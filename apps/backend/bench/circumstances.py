"""On what the figures were taken."""

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.database import run
from bench.fill import USERS
from bench.places import TOP

SHOWN: Final = frozenset(
    {
        "django",
        "django-ninja",
        "djangorestframework",
        "fastapi",
        "fastcrud",
        "gunicorn",
        "litestar",
        "sqlalchemy",
        "uvicorn",
    }
)
INSTALLED: Final = """
from importlib.metadata import distributions
print(*sorted(f"{one.name.lower()} {one.version}" for one in distributions()), sep="\\n")
"""


def circumstances(database_url: str, *, items: str, how: str, python: Path) -> dict[str, str]:
    ((version,),) = run(database_url, "SHOW server_version")
    ((fsync,),) = run(database_url, "SHOW fsync")
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _output("git", "describe", "--always", "--dirty").strip(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "PostgreSQL": f"{version.split()[0]}, fsync {fsync}",
        "packages": ", ".join(_packages(python)),
        "rows": f"{USERS} users, {items} items",
        "how": how,
    }


def _packages(python: Path) -> Iterator[str]:
    for package in _output(str(python), "-c", INSTALLED).splitlines():
        if package.split()[0] in SHOWN:
            yield package


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    return done.stdout
