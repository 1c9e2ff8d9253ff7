from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.models import Item, User
from app.schemas.item import ItemStatus


def make_item(db: Session, *, owner: User, title: str = "Desk lamp", **values: Any) -> Item:
    defaults = {"status": ItemStatus.DRAFT, "description": None}
    item = Item(title=title, owner_id=owner.id, **defaults | values)
    db.add(item)
    db.commit()
    db.refresh(item)
    return item


def make_items(db: Session, count: int, *, owner: User, **values: Any) -> list[int]:
    """Make many at once, and return their ids."""
    defaults = {"title": "Desk lamp", "status": ItemStatus.DRAFT, "owner_id": owner.id}
    rows = [{**defaults, **values} for _ in range(count)]
    return list(db.scalars(insert(Item).returning(Item.id, sort_by_parameter_order=True), rows))
