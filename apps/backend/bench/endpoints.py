"""What is asked of every system, in the same words.

`{item}` becomes the id of an item of the caller's own, `{user}` that of any user, `{n}` a new
number each time.
"""

from dataclasses import dataclass
from typing import Final

from bench.fill import CLERK, EXPORTER, OVERSEER, PASSWORD, email

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Endpoint:
    name: str
    text: str
    method: str
    path: str
    caller: int | None = CLERK
    body: str = ""
    content_type: str = JSON
    status: int = 200
    writes: bool = False
    at_once: int | None = None  # No more clients than this.


ENDPOINTS: Final = (
    Endpoint("me", "the caller", "GET", "/api/v1/users/me"),
    Endpoint("item", "one item", "GET", "/api/v1/items/{item}"),
    Endpoint("own-page", "50 of one's own 500 items", "GET", "/api/v1/items/?limit=50"),
    Endpoint("page", "50 of all items, with a total", "GET", "/api/v1/items/?limit=50", OVERSEER),
    Endpoint(
        "create",
        "create an item",
        "POST",
        "/api/v1/items/",
        body='{"title": "Desk lamp {n}", "description": "Brass, with a green shade."}',
        status=201,
        writes=True,
    ),
    Endpoint(
        "patch",
        "change an item's title",
        "PATCH",
        "/api/v1/items/{item}",
        body='{"title": "Desk lamp {n}"}',
        writes=True,
    ),
    Endpoint(
        "login",
        "log in (argon2id)",
        "POST",
        "/api/v1/auth/login",
        caller=None,
        body=f"username={email('{user}')}&password={PASSWORD}",
        content_type=FORM,
        writes=True,
    ),
    Endpoint(
        "export",
        "5000 items as CSV",
        "GET",
        "/api/v1/items/export",
        EXPORTER,
        at_once=2,  # Backdesk refuses more, so that they do not take all of its connections.
    ),
)
