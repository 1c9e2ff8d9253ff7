"""Each role sees the same records in whatever way it looks: lists, counts, searches, single
records, bulk requests, exports, statistics, audit.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import ROLE_PERMISSIONS, Permission, Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_login_event, make_usage
from tests.world import EVERYBODY, PEOPLE, SEEN, World

API: Final = "/api/v1"
DRY: Final = {"dry_run": "true"}


class Look:
    """One caller's ways to look at records. Each tells whose records it found, by name."""

    def __init__(self, client: TestClient, world: World) -> None:
        self.client = client
        self.world = world

    def get(self, path: str, **params: Any) -> Response:
        return self._granted(self.client.get(API + path, params=params))

    def _granted(self, response: Response) -> Response:
        if response.status_code == 403:
            raise PermissionError
        return response

    def owners(self, resource: str, rows: list[dict[str, Any]]) -> set[str]:
        key = {"users": "id", "items": "owner_id", "usage": "user_id"}[resource]
        return {self.world.name_of(int(row[key])) for row in rows}

    def listed(self, resource: str, **params: Any) -> set[str]:
        return self.owners(resource, self.get(f"/{resource}/", **params).json())

    def counted(self, resource: str) -> int:
        return int(self.get(f"/{resource}/", limit=1).headers["x-total-count"])

    def walked(self, resource: str) -> set[str]:
        seen: set[str] = set()
        place: dict[str, str] = {}
        while True:
            page = self.get(f"/{resource}/", limit=2, **place)
            seen |= self.owners(resource, page.json())
            if "x-next-cursor" not in page.headers:
                return seen
            place = {"after": page.headers["x-next-cursor"]}

    def shown(self, resource: str) -> set[str]:
        """Ask for each record by its id."""
        found = set()
        for name, record_id in self.world.ids(resource).items():
            if self.get(f"/{resource}/{record_id}").status_code != 404:
                found.add(name)
        return found

    def changeable(self, resource: str, changes: dict[str, Any]) -> set[str]:
        """Try to change each in a bulk request: whom one does not see is not there."""
        found = set()
        for name, record_id in self.world.ids(resource).items():
            body = {"ids": [record_id], "changes": changes}
            answer = self.client.patch(f"{API}/{resource}/bulk", json=body, params=DRY)
            if answer.json().get("error") == "PERMISSION_DENIED" and not answer.json()["errors"]:
                raise PermissionError
            if answer.status_code != 404:
                found.add(name)
        return found

    def chosen(self, resource: str, changes: dict[str, Any]) -> set[str]:
        """Try to change all that a filter finds."""
        body = {"filter": {"id_lt": 10**9}, "changes": changes}
        answer = self.client.patch(f"{API}/{resource}/bulk", json=body, params=DRY)
        self._granted(answer)
        ids = {change["id"] for change in answer.json()["changes"]}
        return {name for name, one in self.world.ids(resource).items() if one in ids}

    def exported(self, resource: str, how: str) -> set[str]:
        text = self.get(f"/{resource}/export", format=how).text
        if how == "csv":
            return self.owners(resource, list(csv.DictReader(io.StringIO(text))))
        return self.owners(resource, [json.loads(line) for line in text.splitlines()])

    def total(self, metric: str) -> int:
        answer = self.get("/statistics/timeseries", metric=metric)
        return int(answer.json()["total"])


Way = Callable[[Look], set[str] | int]

# What is looked at, and the permission that the way needs.
WAYS: Final[Mapping[str, tuple[Permission, Way]]] = {
    "users listed": (Permission.USERS_READ, lambda look: look.listed("users")),
    "users searched": (Permission.USERS_READ, lambda look: look.listed("users", q="example.com")),
    "users filtered": (Permission.USERS_READ, lambda look: look.listed("users", email_like="@")),
    "users counted": (Permission.USERS_READ, lambda look: look.counted("users")),
    "users walked": (Permission.USERS_READ, lambda look: look.walked("users")),
    "users exported": (Permission.USERS_EXPORT, lambda look: look.exported("users", "csv")),
    "users as lines": (Permission.USERS_EXPORT, lambda look: look.exported("users", "jsonl")),
    "users in bulk": (
        Permission.USERS_WRITE,
        lambda look: look.changeable("users", {"full_name": "X"}),
    ),
    "items listed": (Permission.ITEMS_READ, lambda look: look.listed("items")),
    "items searched": (Permission.ITEMS_READ, lambda look: look.listed("items", q="kept")),
    "items filtered": (Permission.ITEMS_READ, lambda look: look.listed("items", id_gt=0)),
    "items counted": (Permission.ITEMS_READ, lambda look: look.counted("items")),
    "items walked": (Permission.ITEMS_READ, lambda look: look.walked("items")),
    "items one by one": (Permission.ITEMS_READ, lambda look: look.shown("items")),
    "items exported": (Permission.ITEMS_EXPORT, lambda look: look.exported("items", "csv")),
    "items as lines": (Permission.ITEMS_EXPORT, lambda look: look.exported("items", "jsonl")),
    "items in bulk": (
        Permission.ITEMS_WRITE,
        lambda look: look.changeable("items", {"status": "archived"}),
    ),
    "items in bulk by filter": (
        Permission.ITEMS_WRITE,
        lambda look: look.chosen("items", {"status": "archived"}),
    ),
    "usage listed": (Permission.USAGE_READ, lambda look: look.listed("usage")),
    "usage counted": (Permission.USAGE_READ, lambda look: look.counted("usage")),
    "usage walked": (Permission.USAGE_READ, lambda look: look.walked("usage")),
    "usage one by one": (Permission.USAGE_READ, lambda look: look.shown("usage")),
    "usage exported": (Permission.USAGE_EXPORT, lambda look: look.exported("usage", "csv")),
    "sign-ups": (Permission.STATISTICS_READ, lambda look: look.total("signups")),
    "logins": (Permission.STATISTICS_READ, lambda look: look.total("logins")),
    "items over time": (Permission.STATISTICS_READ, lambda look: look.total("items")),
    "tokens": (Permission.STATISTICS_READ, lambda look: look.total("tokens")),
    "users in figures": (
        Permission.STATISTICS_READ,
        lambda look: int(look.get("/statistics/overview").json()["users"]["total"]),
    ),
    "items in figures": (
        Permission.STATISTICS_READ,
        lambda look: int(look.get("/statistics/overview").json()["items"]["total"]),
    ),
}


@pytest.fixture
def busy_world(db: Session, world: World) -> World:
    """Each user has also signed in once, and consumed one token."""
    for user in world.users.values():
        world.usage[world.name_of(user.id)] = make_usage(db, user=user, tokens=1)
        make_login_event(db, user=user, at=utc_now())
    return world


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("viewer", SEEN)
def test_each_role_sees_the_same_in_every_way(
    client_of: Callable[[User], TestClient], busy_world: World, viewer: str, way: str
) -> None:
    permission, look = WAYS[way]
    caller = Look(client_of(busy_world.users[viewer]), busy_world)

    if permission not in ROLE_PERMISSIONS[PEOPLE[viewer].get("role", Role.USER)]:
        with pytest.raises(PermissionError):
            look(caller)
        return
    found = look(caller)

    assert found == (SEEN[viewer] if isinstance(found, set) else len(SEEN[viewer]))


@pytest.mark.parametrize("path", ["/audit/", "/audit/export"])
@pytest.mark.parametrize("viewer", SEEN)
def test_the_audit_is_for_who_sees_everything(
    client_of: Callable[[User], TestClient], busy_world: World, viewer: str, path: str
) -> None:
    answer = client_of(busy_world.users[viewer]).get(API + path)

    if SEEN[viewer] != EVERYBODY:
        assert_error(answer, 403, "PERMISSION_DENIED")
        return
    assert answer.status_code == 200
    for user in busy_world.users.values():
        assert user.email in answer.text
