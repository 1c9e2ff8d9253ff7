"""Rows for tests, committed at once. What a test does not care about is made up."""

from tests.factories.item import make_item
from tests.factories.session import Login, make_login, make_session, make_token
from tests.factories.user import make_user

__all__ = ["Login", "make_item", "make_login", "make_session", "make_token", "make_user"]
