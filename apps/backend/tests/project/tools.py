import importlib.util
import os

import pytest


def require_ruff() -> None:
    """Skip where there is no linter; where CI is set, nothing may be left out."""
    if importlib.util.find_spec("ruff") is None:
        text = "ruff is not installed: python3 manage.py lint installs it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(text)
