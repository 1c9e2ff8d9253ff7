"""Third parties as processes of the tests' own."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """Find a program; without it the test is skipped, but not where everything must run."""
    found = shutil.which(name)
    if found is None and "CI" in os.environ:
        pytest.fail(f"{name} is not installed")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
