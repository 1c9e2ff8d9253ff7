"""Many items at once, by the rules that hold for one, in a handful of statements."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.orm import Session

from app.core.permissions import Principal
from app.crud import item as crud_item
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
    owners = crud_item.lock_owners(db, key=User.id, wanted=owner_ids, actor=actor)
    owners[actor.id] = actor.id
    rows: list[dict[str, Any]] = []
    for index, item_in in enumerate(items_in):
        values = item_in.model_dump()
        values["owner_id"] = actor.id if item_in.owner_id is None else item_in.owner_id
        with refusals.of_row(index):
            crud_item.owner_of(values["owner_id"], owners, actor)
        rows.append(values)
    refusals.raise_any()
    ids = insert_rows(db, model=Item, rows=rows)
    return get_records(db, listing=crud_item.ITEMS, ids=ids)


def change_items(db: Session, *, chosen: Chosen[Item], changes: Changes, actor: Principal) -> None:
    owners = {item.id: changes[item.id].get("owner_id", item.owner_id) for item in chosen.rows}
    given = [item for item in chosen.rows if owners[item.id] != item.owner_id]
    wanted = {owners[item.id] for item in given}
    known = crud_item.lock_owners(db, key=User.id, wanted=wanted, actor=actor)
    for item in given:
        with chosen.of_row(item):
            crud_item.owner_of(owners[item.id], known, actor)
    chosen.refusals.raise_any()
    update_rows(db, model=Item, rows=chosen.rows, changes=changes)


ITEM: Final = Resource(crud_item.ITEMS, change_items)
