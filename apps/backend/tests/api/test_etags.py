"""Entity tags: who has a record already is not sent it again."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user
from tests.settings import client_with

USERS = "/api/v1/users/"
ITEMS = "/api/v1/items/"
PASSWORD = "wallpaper-on-tuesday"


@pytest.fixture(params=["item", "user", "me"])
def url(request: pytest.FixtureRequest, db: Session, admin: User, user: User) -> str:
    """The address of a record that the admin may read and change."""
    if request.param == "item":
        return f"{ITEMS}{make_item(db, owner=admin).id}"
    return f"{USERS}me" if request.param == "me" else f"{USERS}{user.id}"


def a_change(url: str) -> dict[str, str]:
    return {"title": "Lamp"} if ITEMS in url else {"full_name": "Ann Lee"}


def if_none_match(*tags: str) -> list[tuple[str, str]]:
    return [("If-None-Match", tag) for tag in tags]


def test_record_carries_its_tag(as_admin: TestClient, url: str) -> None:
    first, again = as_admin.get(url), as_admin.get(url)

    assert first.headers["etag"].startswith('"1')
    assert again.headers["etag"] == first.headers["etag"]


def test_tag_of_an_item_is_its_version(as_admin: TestClient, db: Session, admin: User) -> None:
    url = f"{ITEMS}{make_item(db, owner=admin).id}"
    tags = [as_admin.get(url).headers["etag"]]
    as_admin.patch(url, json={"title": "Lamp"})
    tags.append(as_admin.get(url).headers["etag"])

    assert tags == ['"1"', '"2"']


def test_record_that_the_client_has_is_not_sent_again(as_admin: TestClient, url: str) -> None:
    tag = as_admin.get(url).headers["etag"]

    response = as_admin.get(url, headers={"If-None-Match": tag})

    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == tag
    assert response.headers["cache-control"] == "private, no-cache"
    assert "content-type" not in response.headers


@pytest.mark.parametrize(
    "tags",
    [
        *(("{}",), ("W/{}",), ("*",), ('"x", {}',), ('"x",{} ,W/"y"',), ('"x"', "{}"), (", {},",)),
        *(('W/"x", W/{}',), ("{}-gzip",), ("W/{}-br",)),
    ],
    ids=[
        *("strong", "weak", "any", "list", "dense list", "two lines", "empty members"),
        *("weak list", "compressed", "weak and compressed"),
    ],
)
def test_record_is_known_by_any_tag_of_a_list(
    as_admin: TestClient, url: str, tags: tuple[str, ...]
) -> None:
    tag = as_admin.get(url).headers["etag"]

    lines = [re.sub(r'"-(\w+)$', r'-\1"', one.format(tag)) for one in tags]
    response = as_admin.get(url, headers=if_none_match(*lines))

    assert response.status_code == 304


@pytest.mark.parametrize(
    "tags", ['"0"', "1", '"1', "", "W/*", '"*"', '"x, y"', "*, *", '"' + "9" * 5000 + '"']
)
def test_record_that_the_client_does_not_have_is_sent(
    as_admin: TestClient, url: str, tags: str
) -> None:
    response = as_admin.get(url, headers={"If-None-Match": tags})

    assert response.status_code == 200
    assert response.json()["version"] == 1


@pytest.mark.parametrize("form", ["W/{}", "{}-gzip", "W/{}-br"])
def test_tag_that_a_proxy_has_changed_counts_as_ours(
    as_admin: TestClient, url: str, form: str
) -> None:
    tag = as_admin.get(url).headers["etag"]
    seen = re.sub(r'"-(\w+)$', r'-\1"', form.format(tag))

    first = as_admin.patch(url, json=a_change(url), headers={"If-Match": seen})
    refused = [
        as_admin.request(one, url, json=a_change(url), headers={"If-Match": seen})
        for one in ("PATCH", "PUT")
    ]
    refused.append(as_admin.delete(url, headers={"If-Match": seen}))
    known = as_admin.get(url, headers={"If-None-Match": seen})

    assert first.status_code == 200
    for response in refused:
        assert_error(response, 412, "CHANGED_MEANWHILE")
    assert (known.status_code, known.json()["version"]) == (200, 2)


@pytest.mark.parametrize("kind", ["items", "users"])
def test_weak_tag_deletes_and_restores(
    as_admin: TestClient, db: Session, admin: User, user: User, kind: str
) -> None:
    place = f"{ITEMS}{make_item(db, owner=admin).id}" if kind == "items" else f"{USERS}{user.id}"

    deleted = as_admin.delete(place, headers={"If-Match": 'W/"1"'})
    stale = as_admin.post(f"{place}/restore", headers={"If-Match": 'W/"1"'})
    restored = as_admin.post(f"{place}/restore", headers={"If-Match": 'W/"2"'})

    assert (deleted.status_code, restored.status_code) == (204, 200)
    assert_error(stale, 412, "CHANGED_MEANWHILE")


def test_record_that_has_changed_is_sent(as_admin: TestClient, url: str) -> None:
    tag = as_admin.get(url).headers["etag"]
    as_admin.patch(url, json=a_change(url))

    response = as_admin.get(url, headers={"If-None-Match": tag})

    assert (response.status_code, response.json()["version"]) == (200, 2)
    assert response.headers["etag"] != tag


def test_login_changes_a_users_tag_and_not_their_version(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    user = make_user(db, password=PASSWORD)
    url = f"{USERS}{user.id}"
    before = as_admin.get(url)
    form = {"username": user.email, "password": PASSWORD}
    anonymous.post("/api/v1/auth/login", data=form)

    after = as_admin.get(url, headers={"If-None-Match": before.headers["etag"]})

    assert after.status_code == 200
    assert after.json()["version"] == before.json()["version"]
    assert after.json()["last_login_at"] is not None
    assert as_admin.get(url).headers["etag"] == after.headers["etag"]
    known = as_admin.get(url, headers={"If-None-Match": after.headers["etag"]})
    assert known.status_code == 304


def test_record_is_asked_for_with_head(as_admin: TestClient, url: str) -> None:
    found = as_admin.head(url)
    known = as_admin.head(url, headers={"If-None-Match": found.headers["etag"]})

    assert (found.status_code, known.status_code) == (200, 304)
    assert known.headers["etag"] == found.headers["etag"]


def test_change_answers_the_new_tag(as_admin: TestClient, url: str) -> None:
    for method in ("PATCH", "PUT"):
        response = as_admin.request(method, url, json=a_change(url))

        assert response.headers["etag"] == as_admin.get(url).headers["etag"]


@pytest.mark.parametrize(
    ("url", "body"), [(ITEMS, {"title": "Lamp"}), (USERS, {"email": "new@example.com"})]
)
def test_creation_and_restoration_answer_the_tag(
    as_admin: TestClient, url: str, body: dict[str, Any]
) -> None:
    created = as_admin.post(url, json=body)
    place = created.headers["location"]
    shown = as_admin.get(place)
    as_admin.delete(place)
    restored = as_admin.post(f"{place}/restore")

    assert created.headers["etag"] == shown.headers["etag"]
    assert restored.headers["etag"] == as_admin.get(place).headers["etag"]
    assert restored.headers["etag"] != created.headers["etag"]


def test_tag_does_not_open_what_one_may_not_see(
    client_of: Callable[[User], TestClient], db: Session, admin: User, user: User
) -> None:
    item = make_item(db, owner=admin)

    response = client_of(user).get(f"{ITEMS}{item.id}", headers={"If-None-Match": "*"})

    assert_error(response, 404, "ITEM_NOT_FOUND")


def test_headers_of_versions_pass_to_and_from_other_origins() -> None:
    origin = "https://panel.example"
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "if-match, if-none-match",
    }
    with client_with(ALLOWED_ORIGINS=f'["{origin}"]') as client:
        preflight = client.options(f"{ITEMS}1", headers=asked)
        answer = client.get(f"{ITEMS}1", headers={"Origin": origin})

    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert preflight.status_code == 200
    assert {"if-match", "if-none-match"} <= set(allowed.replace(" ", "").split(","))
    assert "ETag" in answer.headers["access-control-expose-headers"]
