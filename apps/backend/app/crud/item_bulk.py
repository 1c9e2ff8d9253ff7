"""Many items at once, by the rules that hold for one, in a handful of statements."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.permissions import Permission, Principal
from app.crud import item as crud_item
from app.crud import user as crud_user
from app.crud.batch import VALUES_AT_ONCE, in_batches
from app.crud.bulk import Changes, insert_rows, update_rows
from app.crud.chosen import Chosen, Resource, get_records
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
    return get_records(db, listing=crud_item.ITEMS, ids=ids)


def change_items(db: Session, *, chosen: Chosen[Item], changes: Changes, actor: Principal) -> None:
    owners = {item.id: changes[item.id].get("owner_id", item.owner_id) for item in chosen.rows}
    given = [item for item in chosen.rows if owners[item.id] != item.owner_id]
    known = lock_owners(db, owner_ids={owners[item.id] for item in given}, actor=actor)
    for item in given:
        with chosen.of_row(item):
            refuse_foreign_owner(owners[item.id], owners=known, actor=actor)
    chosen.refusals.raise_any()
    update_rows(db, model=Item, rows=chosen.rows, changes=changes)


ITEM: Final = Resource(crud_item.ITEMS, change_items)


def lock_owners(db: Session, *, owner_ids: Collection[int], actor: Principal) -> set[int]:
    """Return those whom the actor sees, locked to the end, so that nobody deletes them meanwhile.

    In the order of ids: two who lock the same rows do not wait in a circle.
    """
    if not owner_ids or not actor.may(Permission.ITEMS_WRITE_OTHERS):
        return set()
    seen = select(User.id).where(crud_user.USERS.visible_to(actor)).order_by(User.id)
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
