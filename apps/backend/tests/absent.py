"""What a test needs may be absent, on a developer's machine; where CI is set, nothing may be."""

import os
import shutil
from typing import NoReturn

import pytest


def leave_out(reason: str) -> NoReturn:
    """Skip; where CI is set, fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def program(*names: str) -> str:
    """Find the first of these programs, or leave the test out."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    return found or leave_out(f"{names[0]} is not installed")
