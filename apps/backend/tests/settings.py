"""The application under other settings for a while, changed where an operator changes them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from app.core.config import get_settings
from app.db.session import dispose
from app.main import create_app


@contextmanager
def changed_settings(**values: str) -> Iterator[None]:
    """Set environment variables, and have the settings and the engine made anew from them."""
    try:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in values.items():
                environment.setenv(name, value)
            _forget()
            yield
    finally:
        _forget()


@contextmanager
def client_with(**values: str) -> Iterator[TestClient]:
    """A client, not signed in, of an application of its own under these settings."""
    with changed_settings(**values):
        yield TestClient(create_app())


def _forget() -> None:
    dispose()
    get_settings.cache_clear()
