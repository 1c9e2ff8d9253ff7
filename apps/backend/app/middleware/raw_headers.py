"""What a request says, before anything has parsed it."""

from starlette.types import Scope


def first_header(scope: Scope, name: bytes) -> str | None:
    """Return the header's value; the name is in lower case, as servers hand it over."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None
