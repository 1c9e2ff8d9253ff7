import importlib.util

import pytest


def require_ruff() -> None:
    require_tool("ruff")


def require_tool(name: str) -> None:
    """Skip where a tool of the linters' lock is not there, as in what only runs the product."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: python3 manage.py lint installs it")
