from typing import Any

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
