"""Items from a file: new ones by the rules of `create_item`, others by those of `update_item`."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.core.permissions import Principal
from app.crud import item as crud_item
from app.crud.bulk import insert_rows
from app.crud.importing import Chunk, Importer, Importing, Values, given_id, lock_records
from app.crud.item_bulk import change_items
from app.models.item import Item
from app.models.user import User
from app.schemas.item import ItemImport

Rows = Chunk[ItemImport, Item]


class ItemExistsError(ConflictError):
    code = "ITEM_EXISTS"
    text = "There is an item with this id already. Choose to skip or to update what is there."
    field = "id"


class ItemRepeatedError(ItemExistsError):
    text = "This id stands in an earlier row too."


def import_items(
    db: Session, *, chunks: Iterable[Rows], importing: Importing, actor: Principal
) -> None:
    for chunk in chunks:
        _create(db, chunk, importing, actor)
        rows = chunk.to_update(importing, exists=ItemExistsError, repeated=ItemRepeatedError)
        _update(db, chunk, rows, importing, actor)
        importing.refusals.take(chunk.refusals)


def find_items(db: Session, rows: Mapping[int, Values], *, actor: Principal) -> Mapping[int, Item]:
    """Lock the items that rows name, and return them by the index of the row."""
    ids = {index: given_id(values) for index, values in rows.items()}
    return lock_records(db, key=Item.id, wanted=ids, scope=crud_item.ITEMS.visible_to(actor))


def _create(db: Session, chunk: Rows, importing: Importing, actor: Principal) -> None:
    rows = chunk.to_create(crud_item.ItemNotFoundError)
    owners = _lock_owners(db, rows, actor)
    new = []
    for index, row in rows.items():
        with chunk.refusals.of_row(index):
            owner_id = _owner_of(row, owners, actor)
            new.append(row.model_dump(exclude={"owner_email"}) | {"owner_id": owner_id})
    insert_rows(db, model=Item, rows=new)
    importing.created += len(new)


def _update(
    db: Session,
    chunk: Rows,
    rows: Mapping[int, ItemImport],
    importing: Importing,
    actor: Principal,
) -> None:
    owners = _lock_owners(db, rows, actor)
    changes = {}
    for index, row in rows.items():
        with chunk.refusals.of_row(index):
            changes[index] = row.changes_of(vars(chunk.present[index]))
            if changes[index].pop("owner_email", None) is not None:  # An empty one is none given.
                changes[index]["owner_id"] = _owner_of(row, owners, actor)
    chunk.update(importing, chunk.without_refused(changes), partial(change_items, db, actor=actor))


def _lock_owners(
    db: Session, rows: Mapping[int, ItemImport], actor: Principal
) -> Mapping[str, int]:
    emails = {row.owner_email for row in rows.values()} - {None, actor.profile["email"]}
    owners = crud_item.lock_owners(db, key=User.email, wanted=emails, actor=actor)
    return owners | {actor.profile["email"]: actor.id}


def _owner_of(row: ItemImport, owners: Mapping[str, int], actor: Principal) -> int:
    """Without the column it is whoever imports; an empty cell in it names nobody.

    Raises OwnerNotPermittedError, OwnerNotFoundError.
    """
    if "owner_email" not in row.model_fields_set:
        return actor.id
    return crud_item.owner_of(row.owner_email, owners, actor, field="owner_email")


ITEM_IMPORTER: Final = Importer(ItemImport, find_items, import_items)
