"""Nothing of the trash is told by any route that reads, but to who asks for the trash itself."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.main import create_app
from app.models import AuditEvent, Item, User
from tests.assertions import assert_error
from tests.factories import make_item, make_login, make_user

MARK = "zqxmark"
PASSWORD = "wallpaper-on-tuesday"
LISTS_WITH_A_TRASH = {"/api/v1/users/", "/api/v1/items/", "/api/v1/users/{user_id}/items"}


@dataclass(frozen=True)
class Trash:
    user: User
    item: Item


@pytest.fixture
def trash(db: Session, admin: User) -> Trash:
    user = make_user(
        db,
        email=f"{MARK}@example.com",
        username=MARK,
        full_name=MARK,
        department=MARK,
        password=PASSWORD,
        deleted_at=utc_now(),
    )
    texts = {"title": MARK, "description": MARK}
    make_item(db, owner=user, deleted_at=utc_now(), **texts)
    return Trash(user, make_item(db, owner=admin, deleted_at=utc_now(), **texts))


def reading_routes() -> dict[str, list[str]]:
    """Return the names of the query parameters of every path that answers GET."""
    paths = create_app().openapi()["paths"]
    return {
        path: [one["name"] for one in operations["get"].get("parameters", ())]
        for path, operations in paths.items()
        if "get" in operations
    }


def urls(path: str, trash: Trash, admin: User) -> Iterator[str]:
    """Fill the path with the ids of what is in the trash, and of who is not."""
    for user_id in (trash.user.id, admin.id):
        yield path.format_map(defaultdict(lambda: 1, user_id=user_id, item_id=trash.item.id))


def questions(names: list[str], trash: Trash) -> Iterator[dict[str, Any]]:
    yield {}
    asked = {
        "q": MARK,
        "id": trash.item.id,
        "owner_id": trash.user.id,
        "user_id": trash.user.id,
        "email": trash.user.email,
        "title_like": MARK,
        "department": MARK,
        "deleted": "false",
    }
    for name in asked.keys() & names:
        yield {name: asked[name]}


def tells(response: Response) -> bool:
    """Whether the answer holds the mark. A refusal may name the path, which the client sent."""
    return MARK in response.text + str(dict(response.headers)).replace(
        response.url.query.decode(), ""
    )


@pytest.mark.parametrize("path", reading_routes())
def test_no_reading_route_tells_of_the_trash(
    as_admin: TestClient, db: Session, admin: User, trash: Trash, path: str
) -> None:
    names = reading_routes()[path]
    answers = []
    for url in urls(path, trash, admin):
        for asked in questions(names, trash):
            answers.append(as_admin.get(url, params=asked))
            db.execute(delete(AuditEvent))  # An export notes what it was asked for.

    assert [str(answer.url) for answer in answers if tells(answer)] == []
    assert {answer.status_code for answer in answers} <= {200, 401, 404, 422}


@pytest.mark.parametrize("path", sorted(LISTS_WITH_A_TRASH - {"/api/v1/users/{user_id}/items"}))
def test_search_counts_nothing_of_the_trash(as_admin: TestClient, trash: Trash, path: str) -> None:
    both = [trash.user.id, trash.item.id]
    questions: list[dict[str, Any]] = [{"q": MARK}, {"id": both}, {"q": MARK, "limit": 1}]
    for asked in questions:
        response = as_admin.get(path, params=asked)
        assert (response.json(), response.headers["x-total-count"]) == ([], "0")


def test_trash_is_told_to_who_asks_for_it(as_admin: TestClient, admin: User, trash: Trash) -> None:
    """The mark is there to be found: this is what the other tests do not find."""
    for path in LISTS_WITH_A_TRASH:
        response = as_admin.get(path.format(user_id=admin.id), params={"deleted": "true"})
        assert tells(response), path


def test_one_record_of_the_trash_is_not_there(as_admin: TestClient, trash: Trash) -> None:
    for path in ("", "/items", "/sessions", "/stats"):  # The impact is for who may restore them.
        response = as_admin.get(f"/api/v1/users/{trash.user.id}{path}")
        assert_error(response, 404, "USER_NOT_FOUND")
    assert_error(as_admin.get(f"/api/v1/items/{trash.item.id}"), 404, "ITEM_NOT_FOUND")


# --- Who is in the trash does nothing, and nothing is done with them.


def test_who_is_in_the_trash_does_not_sign_in(anonymous: TestClient, trash: Trash) -> None:
    for name in (trash.user.email, trash.user.username):
        form = {"username": name, "password": PASSWORD}
        assert_error(anonymous.post("/api/v1/auth/login", data=form), 401, "INVALID_CREDENTIALS")


def test_who_is_in_the_trash_is_signed_in_nowhere(
    anonymous: TestClient, db: Session, client_of: Callable[[User], TestClient], trash: Trash
) -> None:
    """Even with a session that nobody has ended."""
    body = {"refresh_token": make_login(db, user=trash.user).refresh_token}

    assert_error(client_of(trash.user).get("/api/v1/users/me"), 401, "INVALID_TOKEN")
    assert_error(anonymous.post("/api/v1/auth/refresh", json=body), 401, "INVALID_TOKEN")


def test_who_is_in_the_trash_is_given_no_items(
    as_admin: TestClient, db: Session, admin: User, trash: Trash
) -> None:
    item = make_item(db, owner=admin)
    owner = {"owner_id": trash.user.id}

    created = as_admin.post("/api/v1/items/", json={"title": "Lamp", **owner})
    moved = as_admin.patch(f"/api/v1/items/{item.id}", json=owner)

    for answer in (created, moved):
        assert_error(answer, 409, "OWNER_NOT_FOUND", "owner_id")


def test_what_is_in_the_trash_is_not_changed(as_admin: TestClient, trash: Trash) -> None:
    user = as_admin.patch(f"/api/v1/users/{trash.user.id}", json={"full_name": "Ann"})
    item = as_admin.patch(f"/api/v1/items/{trash.item.id}", json={"title": "Lamp"})

    assert_error(user, 404, "USER_NOT_FOUND")
    assert_error(item, 404, "ITEM_NOT_FOUND")
