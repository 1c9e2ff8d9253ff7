import importlib.util

from tests.absent import leave_out


def require_ruff() -> None:
    require_tool("ruff")


def require_tool(name: str) -> None:
    """Skip where a tool of the linters' lock is not there."""
    if importlib.util.find_spec(name) is None:
        leave_out(f"{name} is not installed: python3 manage.py lint installs it")
