"""What a request says, before anything has parsed it."""

from typing import Final

from starlette.types import Scope

# Asked by address, and whatever else is the matter.
PROBES: Final = frozenset({"/health", "/health/", "/health/ready", "/health/ready/"})


def first_header(scope: Scope, name: bytes) -> str | None:
    """Return the header's value; the name is in lower case, as servers hand it over."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None
