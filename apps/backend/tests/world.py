"""One user of each kind, each with an item of their own, and who sees whom."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import Item, UsageEvent, User
from tests.factories import make_item, make_user

PEOPLE: dict[str, dict[str, Any]] = {
    "admin": {"role": Role.ADMIN},
    "auditor": {"role": Role.AUDITOR, "department": "Kitchen"},
    "manager": {"role": Role.MANAGER, "department": "Sales"},
    "colleague": {"department": "Sales"},
    "boss": {"role": Role.ADMIN, "department": "Sales"},
    "cook": {"department": "Kitchen"},
    "namesake": {"department": " sales "},  # The same, spelled in another way.
    "loner": {"role": Role.MANAGER, "department": None},
    "drifter": {"department": None},
}
EVERYBODY = set(PEOPLE)
SEEN = {
    "admin": EVERYBODY,
    "auditor": EVERYBODY,
    "manager": {"manager", "colleague", "boss", "namesake"},
    "loner": {"loner"},
    "colleague": {"colleague"},
    "drifter": {"drifter"},
}


@dataclass(frozen=True)
class World:
    """One user of each kind, each with an item of their own."""

    users: dict[str, User]
    items: dict[str, Item]
    usage: dict[str, UsageEvent] = field(default_factory=dict)

    def ids(self, resource: str) -> dict[str, int]:
        """Return the ids of the records of a resource, by whose they are."""
        return {name: row.id for name, row in getattr(self, resource).items()}

    def name_of(self, user_id: int) -> str:
        return next(name for name, user in self.users.items() if user.id == user_id)

    def user_ids(self, names: set[str]) -> set[int]:
        return {self.users[name].id for name in names}

    def item_ids(self, names: set[str]) -> set[int]:
        return {self.items[name].id for name in names}


@pytest.fixture
def world(db: Session) -> World:
    users = {
        name: make_user(db, email=f"{name}@example.com", **values)
        for name, values in PEOPLE.items()
    }
    items = {
        name: make_item(db, owner=user, title=name, description="Kept")
        for name, user in users.items()
    }
    return World(users, items)
