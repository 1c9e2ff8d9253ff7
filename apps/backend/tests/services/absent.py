import os
from typing import NoReturn

import pytest


def absent(reason: str) -> NoReturn:
    """Skip; but fail where the environment variable CI is set, since all is there then."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
