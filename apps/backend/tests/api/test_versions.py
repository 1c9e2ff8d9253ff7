"""`If-Match`, and `version` in the body: nobody overwrites what they have not seen, and is told who
has changed what.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import Item, User
from tests.assertions import PROBLEM_KEYS, assert_error
from tests.factories import make_item, make_user
from tests.racing import Call, at_once, statuses

USERS = "/api/v1/users/"
ITEMS = "/api/v1/items/"


@pytest.fixture(params=["item", "user", "me"])
def url(request: pytest.FixtureRequest, db: Session, admin: User, user: User) -> str:
    """The address of a record that the admin may read, change and delete."""
    make_user(db, role=Role.ADMIN)  # So that the admin who asks is not the last one.
    if request.param == "item":
        return f"{ITEMS}{make_item(db, owner=admin).id}"
    return f"{USERS}me" if request.param == "me" else f"{USERS}{user.id}"


def a_change(url: str, text: str = "Lamp") -> dict[str, str]:
    return {"title": text} if ITEMS in url else {"full_name": text}


def if_match(*tags: str) -> list[tuple[str, str]]:
    return [("If-Match", tag) for tag in tags]


def assert_changed(response: Response) -> list[dict[str, Any]]:
    body = response.json()
    assert (response.status_code, body["error"]) == (412, "CHANGED_MEANWHILE"), body
    assert response.headers["content-type"] == "application/problem+json"
    assert set(body) == PROBLEM_KEYS | {"changes"}
    assert body["errors"] == {}
    changes: list[dict[str, Any]] = body["changes"]
    assert all(set(one) == {"field", "by", "at"} for one in changes)
    return changes


# --- What matches.


def test_change_of_the_version_that_was_read_is_made(as_admin: TestClient, url: str) -> None:
    first = as_admin.get(url)
    second = as_admin.patch(url, json=a_change(url), headers={"If-Match": first.headers["etag"]})
    third = as_admin.put(url, json=a_change(url, "L"), headers={"If-Match": second.headers["etag"]})

    assert [one.status_code for one in (first, second, third)] == [200, 200, 200]
    assert third.json()["version"] == 3


def test_change_of_an_older_version_is_refused_and_writes_nothing(
    as_admin: TestClient, url: str
) -> None:
    tag = as_admin.get(url).headers["etag"]
    as_admin.patch(url, json=a_change(url, "Theirs"))
    stored = as_admin.get(url).json()

    for method in ("PATCH", "PUT"):
        response = as_admin.request(
            method, url, json=a_change(url, "Mine"), headers={"If-Match": tag}
        )
        assert_changed(response)
    assert as_admin.get(url).json() == stored


def test_deletion_of_an_older_version_is_refused(as_admin: TestClient, url: str) -> None:
    tag = as_admin.get(url).headers["etag"]
    changed = as_admin.patch(url, json=a_change(url))

    refused = as_admin.delete(url, headers={"If-Match": tag})
    is_there = as_admin.get(url).status_code
    done = as_admin.delete(url, headers={"If-Match": changed.headers["etag"]})

    assert_changed(refused)
    assert (is_there, done.status_code) == (200, 204)


@pytest.mark.parametrize("path", [ITEMS, USERS])
def test_purge_and_restoration_compare_the_version_too(
    as_admin: TestClient, db: Session, admin: User, path: str
) -> None:
    record = make_item(db, owner=admin) if path == ITEMS else make_user(db)
    url = f"{path}{record.id}"
    old = as_admin.get(url).headers["etag"]
    as_admin.delete(url)

    restored = as_admin.post(f"{url}/restore", headers={"If-Match": old})
    purged = as_admin.delete(f"{url}?purge=true", headers={"If-Match": old})

    for refused in (restored, purged):
        assert [change["field"] for change in assert_changed(refused)] == ["deleted"]
    assert as_admin.post(f"{url}/restore", headers={"If-Match": '"2"'}).status_code == 200


def test_change_without_a_version_is_the_last_and_wins(as_admin: TestClient, url: str) -> None:
    as_admin.patch(url, json=a_change(url, "First"))

    response = as_admin.patch(url, json=a_change(url, "Last"))

    assert response.json() == response.json() | a_change(url, "Last")


def test_version_is_compared_even_where_nothing_would_change(
    as_admin: TestClient, url: str
) -> None:
    as_admin.patch(url, json=a_change(url))

    assert_changed(as_admin.patch(url, json={}, headers={"If-Match": '"1"'}))
    assert as_admin.patch(url, json={}, headers={"If-Match": '"2"'}).status_code == 200


@pytest.mark.parametrize(
    "tags",
    [
        *(("*",), ('"1"',), ('"8", "1"',), ('"8","1" , "x"',), ('"8"', '"1"'), (' "1" ',)),
        *(('W/"1"',), ('W/"8", W/"1"',), ('W/"1-0"',), ('"1-gzip"',), ('W/"1-0-br"',)),
    ],
    ids=[
        *("any", "one", "list", "dense list", "two lines", "blanks"),
        *("weak", "weak list", "weak, of a user", "compressed", "weak and compressed"),
    ],
)
def test_change_matches_any_tag_of_a_list(
    as_admin: TestClient, url: str, tags: tuple[str, ...]
) -> None:
    response = as_admin.patch(url, json=a_change(url), headers=if_match(*tags))

    assert response.status_code == 200


@pytest.mark.parametrize(
    "tag",
    [
        *('W/"2"', "1", '"1', "'1'", '"01"', '"+1"', '"1.0"', '"0"', '"2"', '"1"x', '"\u0661"'),
        *("", '"*"', "*, *", '"9999999999"', '"' + "9" * 5000 + '"'),
    ],
)
def test_change_matches_nothing_else(as_admin: TestClient, url: str, tag: str) -> None:
    response = as_admin.patch(url, json=a_change(url), headers=[(b"If-Match", tag.encode())])

    assert assert_changed(response) == []
    assert as_admin.get(url).json()["version"] == 1


def test_version_of_a_user_matches_across_a_login(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    """Signing in is no change that anybody could overwrite."""
    user = make_user(db, password="wallpaper-on-tuesday")
    tag = as_admin.get(f"{USERS}{user.id}").headers["etag"]
    form = {"username": user.email, "password": "wallpaper-on-tuesday"}
    anonymous.post("/api/v1/auth/login", data=form)

    response = as_admin.patch(
        f"{USERS}{user.id}", json={"full_name": "Ann"}, headers={"If-Match": tag}
    )

    assert response.status_code == 200


# --- What is told.


def test_refusal_tells_who_has_changed_which_fields_last(
    as_admin: TestClient, as_manager: TestClient, as_user: TestClient, db: Session, user: User
) -> None:
    url = f"{ITEMS}{make_item(db, owner=user).id}"
    as_user.patch(url, json={"title": "Lamp", "status": "active"})
    as_manager.patch(url, json={"title": "Desk", "description": "Oak"})
    as_admin.patch(url, json={"description": "Ash"})

    told = assert_changed(as_user.patch(url, json={"title": "Mine"}, headers={"If-Match": '"1"'}))
    later = assert_changed(as_user.patch(url, json={"title": "Mine"}, headers={"If-Match": '"3"'}))

    assert {one["field"]: one["by"] for one in told} == {
        "description": "admin@example.com",
        "title": "manager@example.com",
        "status": "user@example.com",
    }
    assert [one["field"] for one in later] == ["description"]
    moments = [datetime.fromisoformat(one["at"]) for one in told]
    assert moments == sorted(moments, reverse=True)
    assert all(moment.tzinfo is not None for moment in moments)


def test_refusal_counts_from_the_latest_version_of_a_list(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    url = f"{ITEMS}{make_item(db, owner=admin).id}"
    as_admin.patch(url, json={"title": "Lamp"})
    as_admin.patch(url, json={"description": "Brass"})

    changes = assert_changed(as_admin.delete(url, headers={"If-Match": '"1", "2"'}))

    assert [one["field"] for one in changes] == ["description"]


def test_refusal_names_a_password_and_never_tells_it(as_admin: TestClient, user: User) -> None:
    url = f"{USERS}{user.id}"
    as_admin.patch(url, json={"password": "curtains-on-friday", "full_name": "Ann"})

    response = as_admin.patch(url, json={"full_name": "X"}, headers={"If-Match": '"1"'})

    assert {one["field"] for one in assert_changed(response)} == {"full_name", "password"}
    assert "curtains" not in response.text


def test_refusal_tells_of_what_was_deleted_and_restored(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    url = f"{ITEMS}{make_item(db, owner=admin).id}"
    as_admin.delete(url)
    as_admin.post(f"{url}/restore")

    changes = assert_changed(as_admin.patch(url, json={}, headers={"If-Match": '"1"'}))

    assert [(one["field"], one["by"]) for one in changes] == [("deleted", "admin@example.com")]


def test_refusal_tells_of_no_other_record(as_admin: TestClient, db: Session, admin: User) -> None:
    one, other = make_item(db, owner=admin), make_item(db, owner=admin)
    as_admin.patch(f"{ITEMS}{other.id}", json={"title": "Lamp"})
    as_admin.patch(f"{USERS}me", json={"full_name": "Ann"})
    as_admin.patch(f"{ITEMS}{one.id}", json={"status": "active"})

    response = as_admin.delete(f"{ITEMS}{one.id}", headers={"If-Match": '"1"'})

    assert [change["field"] for change in assert_changed(response)] == ["status"]


# --- The version in the body, which panels send back with the record.


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_second_of_two_editors_who_send_the_whole_record_is_refused(
    as_admin: TestClient, url: str, method: str
) -> None:
    seen = as_admin.get(url).json()
    first = as_admin.request(method, url, json=seen | a_change(url, "Theirs"))

    second = as_admin.request(method, url, json=seen | a_change(url, "Mine"))

    (change,) = assert_changed(second)
    assert (change["field"], change["by"]) == (next(iter(a_change(url))), "admin@example.com")
    assert as_admin.get(url).json() == first.json()
    again = as_admin.request(method, url, json=first.json() | a_change(url, "Mine"))
    assert (again.status_code, again.json()["version"]) == (200, 3)


def test_version_in_the_body_is_compared_with_and_without_another_change(
    as_admin: TestClient, url: str
) -> None:
    as_admin.patch(url, json=a_change(url))

    for version in (0, 1, 3, 2**53 - 1):
        assert_changed(as_admin.patch(url, json={"version": version}))
        assert_changed(as_admin.patch(f"{url}?dry_run=true", json={"version": version}))
    for body in ({"version": 2}, {"version": None}, {}):
        assert as_admin.patch(url, json=body).json()["version"] == 2


@pytest.mark.parametrize("version", ["1", 1.5, True, [1], -1, 2**53])
def test_version_in_the_body_that_is_no_whole_number_is_refused_there(
    as_admin: TestClient, url: str, version: Any
) -> None:
    response = as_admin.put(url, json=a_change(url) | {"version": version})

    assert_error(response, 422, "INVALID_REQUEST", "version")
    assert as_admin.get(url).json()["version"] == 1


@pytest.mark.parametrize(("tag", "version"), [('"1"', 2), ('"2"', 1), ("*", 1), ('"1"', 1)])
def test_tag_and_version_in_the_body_must_both_match(
    as_admin: TestClient, url: str, tag: str, version: int
) -> None:
    as_admin.patch(url, json=a_change(url))

    refused = as_admin.patch(url, json={"version": version}, headers={"If-Match": tag})
    taken = as_admin.patch(url, json={"version": 2}, headers={"If-Match": '"2"'})

    assert_changed(refused)
    assert taken.status_code == 200


def test_older_record_with_a_password_is_refused_as_older(
    as_manager: TestClient, as_admin: TestClient, db: Session, manager: User
) -> None:
    """Not for fields that somebody else has changed, which the manager may not."""
    user = make_user(db, department=manager.department)
    seen = as_manager.get(f"{USERS}{user.id}").json()
    as_admin.patch(f"{USERS}{user.id}", json={"token_quota": 5})

    response = as_manager.put(f"{USERS}{user.id}", json=seen | {"password": "curtains-on-friday"})

    assert [change["field"] for change in assert_changed(response)] == ["token_quota"]


# --- What comes first.


def test_what_is_not_there_or_not_permitted_is_refused_as_that(
    as_user: TestClient, as_auditor: TestClient, as_manager: TestClient, db: Session, admin: User
) -> None:
    """Who may not change a record is not told either who has."""
    old = {"If-Match": '"8"'}
    item, chief = make_item(db, owner=admin), make_user(db, role=Role.ADMIN, department="Sales")

    def patch(client: TestClient, path: str) -> Response:
        in_body = client.patch(path, json={"version": 8, "password": "curtains-on-friday"})
        in_header = client.patch(path, json={}, headers=old)
        if ITEMS not in path:
            assert in_body.json()["error"] == in_header.json()["error"]
        return in_header

    assert_error(patch(as_user, f"{ITEMS}{item.id}"), 404, "ITEM_NOT_FOUND")
    assert_error(patch(as_user, f"{USERS}{admin.id}"), 404, "USER_NOT_FOUND")
    assert_error(patch(as_auditor, f"{ITEMS}{item.id}"), 403, "PERMISSION_DENIED")
    assert_error(patch(as_auditor, f"{USERS}{admin.id}"), 403, "PERMISSION_DENIED")
    assert_error(patch(as_manager, f"{USERS}{chief.id}"), 403, "PERMISSION_DENIED")


def test_try_of_an_older_version_is_refused_as_the_deed(as_admin: TestClient, url: str) -> None:
    as_admin.patch(url, json=a_change(url))

    response = as_admin.patch(f"{url}?dry_run=true", json={}, headers={"If-Match": '"1"'})

    assert_changed(response)


def test_other_refusals_keep_their_nine_keys(as_admin: TestClient, url: str) -> None:
    response = as_admin.patch(url, json={"colour": "red"}, headers={"If-Match": '"1"'})

    assert_error(response, 422, "INVALID_REQUEST", "colour")


# --- At once.


@pytest.mark.parametrize(
    ("headers", "version"), [({"If-Match": '"1"'}, {}), ({}, {"version": 1})], ids=["tag", "body"]
)
def test_changes_at_once_of_one_version_are_made_once(
    client_of: Callable[[User], TestClient],
    admin: User,
    url: str,
    headers: dict[str, str],
    version: dict[str, int],
) -> None:
    def change(number: int) -> Call:
        client, body = client_of(admin), a_change(url, f"by {number}") | version
        return lambda: client.patch(url, json=body, headers=headers)

    responses = at_once([change(number) for number in range(8)])

    (done,) = [one for one in responses if one.status_code == 200]
    assert statuses(responses) == {200: 1, 412: 7}
    assert client_of(admin).get(url).json() == done.json()
    for refused in responses:
        if refused is not done:
            (change_told,) = assert_changed(refused)
            assert change_told["by"] == admin.email


def test_deletions_at_once_with_a_change_are_never_of_what_was_not_seen(
    client_of: Callable[[User], TestClient], db: Session, admin: User
) -> None:
    item = make_item(db, owner=admin)
    url, seen = f"{ITEMS}{item.id}", {"If-Match": '"1"'}
    first, second = client_of(admin), client_of(admin)

    changed, deleted = at_once(
        [
            lambda: first.patch(url, json={"title": "Lamp"}, headers=seen),
            lambda: second.delete(url, headers=seen),
        ]
    )

    assert (changed.status_code, deleted.status_code) in {(200, 412), (404, 204)}
    db.expire_all()
    row = db.get_one(Item, item.id, execution_options={"include_deleted": True})
    assert row.version == 2


# --- What the document says.


def test_document_shows_versions_where_there_are_some(anonymous: TestClient) -> None:
    document = anonymous.get("/api/v1/openapi.json").json()
    for path in ("/api/v1/items/{item_id}", "/api/v1/users/{user_id}", "/api/v1/users/me"):
        operations = document["paths"][path]
        headers = {
            method: {
                one["name"] for one in operation.get("parameters", []) if one["in"] == "header"
            }
            for method, operation in operations.items()
        }
        refused = operations["patch"]["responses"]["412"]["content"]["application/problem+json"]
        assert headers["get"] == {"If-None-Match"}
        assert headers["patch"] == headers["put"] == headers["delete"] == {"If-Match"}
        assert refused["schema"] == {"$ref": "#/components/schemas/Problem412"}
        assert "ETag" in operations["get"]["responses"]["200"]["headers"]
        assert "304" in operations["get"]["responses"]
