"""Items by the thousand: the rules of `create_item`, in a handful of statements."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.permissions import Permission, Principal
from app.crud import item as crud_item
from app.crud import user as crud_user
from app.crud.batch import VALUES_AT_ONCE, in_batches
from app.crud.bulk import insert_rows
from app.crud.listing import Record
from app.crud.refusals import Refusals
from app.models.item import Item
from app.models.user import User
from app.schemas.item import ItemCreate


def create_items(
    db: Session, *, items_in: Sequence[ItemCreate], actor: Principal
) -> Sequence[Record]:
    """Create all of the items, or none.

    Raises OwnerNotPermittedError, OwnerNotFoundError, BulkRefusedError.
    """
    refusals = Refusals(under="items")
    owner_ids = {one.owner_id for one in items_in if one.owner_id is not None} - {actor.id}
    owners = lock_owners(db, owner_ids=owner_ids, actor=actor) | {actor.id}
    rows: list[dict[str, Any]] = []
    for index, item_in in enumerate(items_in):
        values = item_in.model_dump()
        values["owner_id"] = actor.id if item_in.owner_id is None else item_in.owner_id
        with refusals.of_row(index):
            refuse_foreign_owner(values["owner_id"], owners=owners, actor=actor)
        rows.append(values)
    refusals.raise_any()
    ids = insert_rows(db, model=Item, rows=rows)
    found = db.execute(crud_item.ITEMS.select.where(Item.id.in_(ids))).mappings()
    records = {record["id"]: record for record in found}
    return [records[item_id] for item_id in ids]


def lock_owners(db: Session, *, owner_ids: Collection[int], actor: Principal) -> set[int]:
    """Return those whom the actor sees, locked to the end, so that nobody deletes them meanwhile.

    In the order of ids: two who lock the same rows do not wait in a circle.
    """
    if not owner_ids or not actor.may(Permission.ITEMS_WRITE_OTHERS):
        return set()
    seen = select(User.id).where(crud_user.visible_to(actor)).order_by(User.id)
    return {
        owner_id
        for some in in_batches(sorted(owner_ids), size=VALUES_AT_ONCE)
        for owner_id in db.scalars(seen.where(User.id.in_(some)).with_for_update(read=True))
    }


def refuse_foreign_owner(owner_id: int, *, owners: Collection[int], actor: Principal) -> None:
    """Raises OwnerNotPermittedError, OwnerNotFoundError."""
    if owner_id in owners:
        return
    if not actor.may(Permission.ITEMS_WRITE_OTHERS):
        raise crud_item.OwnerNotPermittedError
    raise crud_item.OwnerNotFoundError
