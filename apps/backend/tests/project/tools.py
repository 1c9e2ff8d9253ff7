import importlib.util
import os
from typing import NoReturn

import pytest


def require_ruff() -> None:
    require_tool("ruff")


def require_tool(name: str) -> None:
    """Skip where a tool of the linters' lock is not there."""
    if importlib.util.find_spec(name) is None:
        leave_out(f"{name} is not installed: python3 manage.py lint installs it")


def leave_out(reason: str) -> NoReturn:
    """Skip; where CI is set, nothing may be left out."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
