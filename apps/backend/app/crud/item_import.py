"""Items from a file: new ones by the rules of `create_item`, others by those of `update_item`."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.core.permissions import Permission, Principal
from app.crud import item as crud_item
from app.crud import user as crud_user
from app.crud.bulk import insert_rows
from app.crud.chosen import Chosen
from app.crud.importing import Chunk, Importing
from app.crud.item_bulk import change_items
from app.models.item import Item
from app.models.user import User
from app.schemas.imports import OnConflict
from app.schemas.item import ItemImport

Rows = Mapping[int, ItemImport]  # By their index.


class ItemExistsError(ConflictError):
    code = "ITEM_EXISTS"
    text = "There is an item with this id: skip or update it with on_conflict."
    field = "id"


class ItemRepeatedError(ItemExistsError):
    text = "This id stands in an earlier row too."


def import_items(
    db: Session, *, chunks: Iterable[Chunk[ItemImport]], on_conflict: OnConflict, actor: Principal
) -> Importing:
    """Write what can be written, and tell of the rest; whoever has asked undoes all or nothing."""
    importing = Importing()
    seen: set[int] = set()
    for chunk in chunks:
        new = {index: row for index, row in chunk.rows.items() if row.id is None}
        _create(db, chunk, new, importing, actor)
        items = _lock_items(db, chunk, seen, actor)
        match on_conflict:
            case OnConflict.ERROR:
                for index in items:
                    with chunk.refusals.of_row(index):
                        chunk.rows[index].changes_of({})
                        raise ItemExistsError
            case OnConflict.SKIP:
                importing.skipped += len(items)
            case OnConflict.UPDATE:
                _update(db, chunk, items, importing, actor)
        importing.refusals.take(chunk.refusals)
    return importing


def _create(
    db: Session, chunk: Chunk[ItemImport], rows: Rows, importing: Importing, actor: Principal
) -> None:
    owners = _lock_owners(db, rows, actor)
    new = []
    for index, row in rows.items():
        with chunk.refusals.of_row(index):
            row.changes_of({})
            owner_id = _owner_of(row, owners, actor)
            new.append(row.model_dump(exclude={"id", "owner_email"}) | {"owner_id": owner_id})
    insert_rows(db, model=Item, rows=new)
    importing.created += len(new)


def _lock_items(
    db: Session, chunk: Chunk[ItemImport], seen: set[int], actor: Principal
) -> Mapping[int, Item]:
    """Return the items that rows are about, by the index of the row."""
    places: dict[int, int] = {}
    for index, row in chunk.rows.items():
        if row.id in seen:
            chunk.refusals.add(index, ItemRepeatedError())
        elif row.id is not None:
            places[row.id] = index
            seen.add(row.id)
    wanted = select(Item).where(Item.id.in_(places), crud_item.visible_to(actor)).order_by(Item.id)
    items = {item.id: item for item in db.scalars(wanted.with_for_update(key_share=True))}
    for item_id in places.keys() - items.keys():
        with chunk.refusals.of_row(places[item_id]):
            chunk.rows[places[item_id]].changes_of({})
            text = crud_item.ItemNotFoundError.text
            raise crud_item.ItemNotFoundError(fields={"id": text})
    return {places[item_id]: item for item_id, item in items.items()}


def _update(
    db: Session,
    chunk: Chunk[ItemImport],
    items: Mapping[int, Item],
    importing: Importing,
    actor: Principal,
) -> None:
    owners = _lock_owners(db, {index: chunk.rows[index] for index in items}, actor)
    changes = {}
    for index, item in items.items():
        with chunk.refusals.of_row(index):
            changes[item.id] = _changes(item, chunk.rows[index], owners, actor)
    changed = [item for item in items.values() if changes.get(item.id)]
    places = {item.id: index for index, item in items.items()}
    with chunk.refusals.step() as refusals:
        change_items(db, chosen=Chosen(changed, refusals, places), changes=changes, actor=actor)
        importing.updated += len(changed)
    importing.skipped += len(changes) - len(changed)


def _changes(
    item: Item, row: ItemImport, owners: Mapping[str, int], actor: Principal
) -> dict[str, Any]:
    """Return what differs of an item that is there. An empty owner is none given."""
    changes = row.changes_of(vars(item))
    if row.owner_email is not None:
        owner_id = _owner_of(row, owners, actor)
        changes |= {"owner_id": owner_id} if owner_id != item.owner_id else {}
    return changes


def _lock_owners(db: Session, rows: Rows, actor: Principal) -> Mapping[str, int]:
    """Return those whom the actor may give items to, by e-mail, locked so that they stay."""
    emails = {row.owner_email for row in rows.values()} - {None, actor.profile["email"]}
    owners = {actor.profile["email"]: actor.id}
    if emails and actor.may(Permission.ITEMS_WRITE_OTHERS):
        wanted = select(User).where(User.email.in_(emails), crud_user.visible_to(actor))
        locked = wanted.order_by(User.id).with_for_update(read=True)
        owners |= {user.email: user.id for user in db.scalars(locked)}
    return owners


def _owner_of(row: ItemImport, owners: Mapping[str, int], actor: Principal) -> int:
    """Without the column it is whoever imports; an empty cell in it names nobody.

    Raises OwnerNotPermittedError, OwnerNotFoundError.
    """
    if "owner_email" not in row.model_fields_set:
        return actor.id
    owner_id = owners.get(row.owner_email or "")
    if owner_id is not None:
        return owner_id
    may_give = actor.may(Permission.ITEMS_WRITE_OTHERS)
    error = crud_item.OwnerNotFoundError if may_give else crud_item.OwnerNotPermittedError
    raise error(fields={"owner_email": error.text})
