"""Many items at once, by the rules that hold for one."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Principal
from app.crud.bulk import Changes, update_rows
from app.crud.chosen import Chosen, get_records, lock_chosen
from app.crud.item import ITEMS, ItemNotFoundError, visible_to
from app.crud.item_creation import lock_owners, refuse_foreign_owner
from app.crud.listing import Record
from app.models.item import Item
from app.schemas.bulk import Choice
from app.schemas.item import ItemBulkChanges


def update_items(
    db: Session, *, choice: Choice, changes: ItemBulkChanges, actor: Principal
) -> Sequence[Record]:
    """Raises TooManyRowsError, and what `change_items` raises."""
    return _give_all(db, choice, changes.changes(), actor)


def delete_items(db: Session, *, choice: Choice, actor: Principal) -> Sequence[Record]:
    """Delete softly. Raises TooManyRowsError, ItemNotFoundError."""
    return _give_all(db, choice, {"deleted_at": utc_now()}, actor)


def restore_items(db: Session, *, choice: Choice, actor: Principal) -> Sequence[Record]:
    """Bring back from the trash. Raises TooManyRowsError, ItemNotFoundError."""
    return _give_all(db, choice, {"deleted_at": None}, actor, in_trash=True)


def _give_all(
    db: Session,
    choice: Choice,
    values: Mapping[str, Any],
    actor: Principal,
    *,
    in_trash: bool = False,
) -> Sequence[Record]:
    chosen = lock_chosen(
        db,
        model=Item,
        listing=ITEMS,
        choice=choice,
        scope=visible_to(actor),
        missing=ItemNotFoundError,
        in_trash=in_trash,
    )
    change_items(db, chosen=chosen, changes=dict.fromkeys(chosen.ids, values), actor=actor)
    return get_records(db, listing=ITEMS, ids=chosen.ids)


def change_items(db: Session, *, chosen: Chosen[Item], changes: Changes, actor: Principal) -> None:
    """Change each item to the values under its id, `deleted_at` among them, or none of them.

    Raises what single changes raise, and BulkRefusedError where rows are refused for several
    reasons.
    """
    owners = {item.id: changes[item.id].get("owner_id", item.owner_id) for item in chosen.rows}
    given = [item for item in chosen.rows if owners[item.id] != item.owner_id]
    known = lock_owners(db, owner_ids={owners[item.id] for item in given}, actor=actor)
    for item in given:
        with chosen.of_row(item):
            refuse_foreign_owner(owners[item.id], owners=known, actor=actor)
    chosen.refusals.raise_any()
    update_rows(db, model=Item, rows=chosen.rows, changes=changes)
