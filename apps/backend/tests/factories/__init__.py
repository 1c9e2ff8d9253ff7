"""Rows for tests, committed at once. What a test does not care about is made up."""

from tests.factories.audit_event import make_login_event
from tests.factories.item import make_item, make_items
from tests.factories.job import make_job
from tests.factories.letter import make_letter, make_letter_with_link, make_one_time_token
from tests.factories.path_values import make_path_values
from tests.factories.session import Login, make_login, make_session, make_token
from tests.factories.usage import make_usage
from tests.factories.user import make_user, make_users

__all__ = [
    "Login",
    "make_item",
    "make_items",
    "make_job",
    "make_letter",
    "make_letter_with_link",
    "make_login",
    "make_login_event",
    "make_one_time_token",
    "make_path_values",
    "make_session",
    "make_token",
    "make_usage",
    "make_user",
    "make_users",
]
