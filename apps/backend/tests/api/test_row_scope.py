"""Whose rows each role sees, in whatever way it asks; and that other rows look like none."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_login_event, make_usage, make_user
from tests.world import EVERYBODY, PEOPLE, SEEN, World

USERS = "/api/v1/users/"
ITEMS = "/api/v1/items/"
STATISTICS = "/api/v1/statistics/"
NOWHERE = 999_999

MAY_LIST_USERS = ["admin", "auditor", "manager", "loner"]
VIEWERS = pytest.mark.parametrize("viewer", SEEN)
LISTING_VIEWERS = pytest.mark.parametrize("viewer", MAY_LIST_USERS)


def ids(response: Response) -> set[int]:
    assert response.status_code == 200, response.text
    return {record["id"] for record in response.json()}


def walk(client: TestClient, url: str) -> list[int]:
    """Follow the cursors to the end."""
    seen: list[int] = []
    place: dict[str, str] = {}
    while True:
        response = client.get(url, params={"limit": "2"} | place)
        seen += [record["id"] for record in response.json()]
        if "x-next-cursor" not in response.headers:
            return seen
        place = {"after": response.headers["x-next-cursor"]}


def what_tells(response: Response) -> dict[str, Any]:
    """The refusal without what differs from request to request."""
    changing = {"path", "timestamp", "request_id"}
    body = {name: value for name, value in response.json().items() if name not in changing}
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    del headers["content-length"]  # The path is in the body.
    return {"status": response.status_code, "body": body, "headers": headers}


@LISTING_VIEWERS
def test_get_users_lists_whom_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    response = client_of(world.users[viewer]).get(USERS)

    assert ids(response) == world.user_ids(SEEN[viewer])


@LISTING_VIEWERS
def test_get_users_counts_whom_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    response = client_of(world.users[viewer]).get(USERS, params={"limit": 1})

    assert response.headers["x-total-count"] == str(len(SEEN[viewer]))


@LISTING_VIEWERS
@pytest.mark.parametrize("query", ["q=example.com", "email_like=@", "version=1", "id_gt=0"])
def test_get_users_finds_whom_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str, query: str
) -> None:
    response = client_of(world.users[viewer]).get(f"{USERS}?{query}")

    assert ids(response) == world.user_ids(SEEN[viewer])


@LISTING_VIEWERS
def test_get_users_picks_whom_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    everybody = sorted(world.user_ids(EVERYBODY))

    response = client_of(world.users[viewer]).get(USERS, params={"id": everybody})

    assert ids(response) == world.user_ids(SEEN[viewer])


@LISTING_VIEWERS
def test_get_users_walks_by_cursor_over_whom_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    seen = walk(client_of(world.users[viewer]), USERS)

    assert seen == sorted(world.user_ids(SEEN[viewer]))


@pytest.mark.parametrize("viewer", ["colleague", "drifter"])
def test_get_users_is_nothing_a_plain_user_may(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    response = client_of(world.users[viewer]).get(USERS)

    assert_error(response, 403, "PERMISSION_DENIED")


@VIEWERS
def test_get_user_shows_whom_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    client = client_of(world.users[viewer])

    found = {
        name for name, user in world.users.items() if client.get(f"{USERS}{user.id}").is_success
    }

    assert found == SEEN[viewer]


@VIEWERS
def test_get_items_lists_whose_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    response = client_of(world.users[viewer]).get(ITEMS)

    assert ids(response) == world.item_ids(SEEN[viewer])


@VIEWERS
def test_get_items_walks_by_cursor_over_whose_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    seen = walk(client_of(world.users[viewer]), ITEMS)

    assert seen == sorted(world.item_ids(SEEN[viewer]))


@VIEWERS
def test_get_items_counts_whose_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    response = client_of(world.users[viewer]).get(ITEMS, params={"limit": 1})

    assert response.headers["x-total-count"] == str(len(SEEN[viewer]))


@VIEWERS
@pytest.mark.parametrize("query", ["q=o", "title_like=o", "status=draft", "version=1", "id_gt=0"])
def test_get_items_finds_whose_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str, query: str
) -> None:
    holds_o = {name for name in PEOPLE if "o" in name} if "=o" in query else EVERYBODY

    response = client_of(world.users[viewer]).get(f"{ITEMS}?{query}")

    assert ids(response) == world.item_ids(SEEN[viewer] & holds_o)


@VIEWERS
def test_get_items_picks_whose_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    client = client_of(world.users[viewer])
    owners = sorted(world.user_ids(EVERYBODY))

    by_id = client.get(ITEMS, params={"id": sorted(world.item_ids(EVERYBODY))})
    by_owner = client.get(ITEMS, params={"owner_id": owners})

    assert ids(by_id) == ids(by_owner) == world.item_ids(SEEN[viewer])


@VIEWERS
def test_get_item_shows_whose_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    client = client_of(world.users[viewer])

    found = {
        name for name, item in world.items.items() if client.get(f"{ITEMS}{item.id}").is_success
    }

    assert found == SEEN[viewer]


@VIEWERS
def test_get_user_items_lists_whose_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    client = client_of(world.users[viewer])

    for name, owner in world.users.items():
        response = client.get(f"{USERS}{owner.id}/items")
        if name in SEEN[viewer]:
            assert ids(response) == world.item_ids({name})
            assert response.headers["x-total-count"] == "1"
        else:
            assert_error(response, 404, "USER_NOT_FOUND")


@VIEWERS
def test_get_overview_counts_what_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    body = client_of(world.users[viewer]).get(f"{STATISTICS}overview").json()

    departments = [PEOPLE[name].get("department") for name in SEEN[viewer]]
    departments = ["Sales" if name == " sales " else name for name in departments]
    assert {one["department"]: one["users"] for one in body["users"]["by_department"]} == {
        name: departments.count(name) for name in departments
    }
    assert body["users"]["total"] == body["items"]["total"] == len(SEEN[viewer])


@VIEWERS
@pytest.mark.parametrize("metric", ["signups", "items", "logins", "tokens"])
def test_get_timeseries_counts_what_the_role_sees(
    client_of: Callable[[User], TestClient], world: World, db: Session, viewer: str, metric: str
) -> None:
    for user in world.users.values():
        make_login_event(db, user=user, at=utc_now())
        make_usage(db, user=user, tokens=1)

    response = client_of(world.users[viewer]).get(
        f"{STATISTICS}timeseries", params={"metric": metric}
    )

    assert response.json()["total"] == len(SEEN[viewer])


def test_get_user_items_is_not_widened_by_a_filter(
    client_of: Callable[[User], TestClient], world: World
) -> None:
    client = client_of(world.users["admin"])

    response = client.get(
        f"{USERS}{world.users['cook'].id}/items", params={"owner_id": world.users["boss"].id}
    )

    assert ids(response) == set()


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("GET", None),
        ("PATCH", {"full_name": "Ann"}),
        ("PATCH", {"role": "admin"}),
        ("PATCH", {"email": 5}),
        ("PUT", {}),
    ],
)
@pytest.mark.parametrize("viewer", ["manager", "loner", "colleague"])
def test_user_of_others_looks_like_none(
    client_of: Callable[[User], TestClient],
    world: World,
    db: Session,
    viewer: str,
    method: str,
    body: dict[str, Any] | None,
) -> None:
    client = client_of(world.users[viewer])
    deleted = make_user(db, department=world.users[viewer].department, deleted_at=utc_now())

    foreign, gone, none = (
        client.request(method, f"{USERS}{user_id}", json=body)
        for user_id in (world.users["cook"].id, deleted.id, NOWHERE)
    )

    assert_error(foreign, 404, "USER_NOT_FOUND")
    assert what_tells(foreign) == what_tells(gone) == what_tells(none)


@pytest.mark.parametrize(
    ("viewer", "status"), [("manager", 404), ("loner", 404), ("colleague", 403), ("auditor", 403)]
)
def test_delete_user_of_others_looks_like_none(
    client_of: Callable[[User], TestClient], world: World, viewer: str, status: int
) -> None:
    client = client_of(world.users[viewer])

    foreign, none = (
        client.delete(f"{USERS}{user_id}") for user_id in (world.users["cook"].id, NOWHERE)
    )

    assert foreign.status_code == status
    assert what_tells(foreign) == what_tells(none)


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("GET", None),
        ("PATCH", {"title": "Shelf"}),
        ("PATCH", {"owner_id": 1}),
        ("PATCH", {"title": 5}),
        ("PUT", {}),
        ("DELETE", None),
    ],
)
@pytest.mark.parametrize("viewer", ["manager", "loner", "colleague"])
def test_item_of_others_looks_like_none(
    client_of: Callable[[User], TestClient],
    world: World,
    db: Session,
    viewer: str,
    method: str,
    body: dict[str, Any] | None,
) -> None:
    client = client_of(world.users[viewer])
    deleted = make_item(db, owner=world.users[viewer], deleted_at=utc_now())

    foreign, gone, none = (
        client.request(method, f"{ITEMS}{item_id}", json=body)
        for item_id in (world.items["cook"].id, deleted.id, NOWHERE)
    )

    assert_error(foreign, 404, "ITEM_NOT_FOUND")
    assert what_tells(foreign) == what_tells(gone) == what_tells(none)


@pytest.mark.parametrize("viewer", ["manager", "loner", "colleague"])
def test_user_items_of_others_look_like_none(
    client_of: Callable[[User], TestClient], world: World, viewer: str
) -> None:
    client = client_of(world.users[viewer])

    foreign, none = (
        client.get(f"{USERS}{user_id}/items") for user_id in (world.users["cook"].id, NOWHERE)
    )

    assert_error(foreign, 404, "USER_NOT_FOUND")
    assert what_tells(foreign) == what_tells(none)


def test_item_of_others_is_left_as_it_is(
    client_of: Callable[[User], TestClient], world: World
) -> None:
    url = f"{ITEMS}{world.items['cook'].id}"
    as_admin, as_colleague = (client_of(world.users[name]) for name in ("admin", "colleague"))
    before = as_admin.get(url).json()

    as_colleague.patch(url, json={"title": "Shelf"})
    as_colleague.put(url, json={"title": "Shelf"})
    as_colleague.delete(url)

    assert as_admin.get(url).json() == before
