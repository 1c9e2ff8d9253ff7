from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.clock import utc_now
from app.core.errors import ConflictError, NotFoundError, PermissionDeniedError
from app.core.permissions import Permission, Principal, Scope
from app.crud import user as crud_user
from app.crud.batch import VALUES_AT_ONCE, in_batches
from app.crud.conditions import ACTOR, ACTORS_DEPARTMENT, values_of
from app.crud.listing import Listing, Page, Record, get_page, public_columns
from app.crud.records import insert_record, refuse_outdated, take_out, update_record
from app.models.item import Item
from app.models.user import User, ids_of_department
from app.schemas.item import ItemCreate, ItemPublic, ItemUpdate
from app.schemas.listing import ListQuery


class ItemNotFoundError(NotFoundError):
    code = "ITEM_NOT_FOUND"
    text = "There is no such item."


class OwnerNotPermittedError(PermissionDeniedError):
    code = "OWNER_NOT_PERMITTED"
    text = "You may not give items to others."
    field = "owner_id"


class OwnerNotFoundError(ConflictError):
    code = "OWNER_NOT_FOUND"
    text = "There is no such user to own the item."
    field = "owner_id"


ITEMS: Final = Listing(
    model=Item,
    columns=public_columns(Item, ItemPublic),
    searched=("title", "description"),
    scopes={
        Scope.ALL: true(),
        Scope.DEPARTMENT: Item.owner_id.in_(ids_of_department(ACTORS_DEPARTMENT, member=ACTOR)),
        Scope.OWN: Item.owner_id == ACTOR,
    },
    missing=ItemNotFoundError,
    exported_as=Item.audited_as,
    # The owner of an item may be deleted; then nobody is named, nor in the trash.
    importable=select(
        Item.title, Item.description, Item.status, User.email.label("owner_email")
    ).outerjoin(User, and_(User.id == Item.owner_id, User.deleted_at.is_(None))),
)


def get_items(
    db: Session, *, query: ListQuery, actor: Principal, owner_id: int | None = None
) -> Page:
    scope, values = ITEMS.scopes[actor.scope], values_of(actor)
    if owner_id is not None:
        scope, values["owner_id"] = _of_owner(actor.scope), owner_id
    return get_page(db, listing=ITEMS, query=query, scope=scope, values=values)


@cache
def _of_owner(scope: Scope) -> ColumnElement[bool]:
    return and_(ITEMS.scopes[scope], Item.owner_id == bindparam("owner_id"))


def create_item(db: Session, *, item_in: ItemCreate, actor: Principal) -> Record:
    """Raises OwnerNotPermittedError, OwnerNotFoundError."""
    values = item_in.model_dump()
    if item_in.owner_id is None:
        values["owner_id"] = actor.id
    elif item_in.owner_id != actor.id:
        _refuse_owner(db, owner_id=item_in.owner_id, actor=actor)
    return insert_record(db, ITEMS, values=values)


def update_item(db: Session, *, item: Record, item_in: ItemUpdate, actor: Principal) -> Record:
    """Change the given fields.

    Raises ChangedMeanwhileError, InvalidValuesError, OwnerNotPermittedError, OwnerNotFoundError.
    """
    refuse_outdated(db, Item, item, seen=item_in.version)
    changes = item_in.changes_of(dict(item))
    if "owner_id" in changes:
        _refuse_owner(db, owner_id=changes["owner_id"], actor=actor)
    return update_record(db, ITEMS, record=item, changes=changes)


def delete_item(db: Session, *, item: Item) -> None:
    """Delete softly."""
    item.deleted_at = utc_now()
    db.flush()


def restore_item(db: Session, *, item: Item) -> Item:
    """Raises NotDeletedError."""
    take_out(item)
    db.flush()
    return item


def purge_item(db: Session, *, item: Item) -> None:
    """Delete for good."""
    db.delete(item)
    db.flush()


def lock_owners(
    db: Session, *, key: InstrumentedAttribute[Any], wanted: Collection[Any], actor: Principal
) -> dict[Any, int]:
    """Return by the `key` the ids of those whom the actor may give items to: users whom they see.

    They stay locked to the end, so that nobody deletes them meanwhile; and in the order of ids, so
    that two who lock the same rows do not wait in a circle.
    """
    if not wanted or not actor.may(Permission.ITEMS_WRITE_OTHERS):
        return {}
    seen = select(key, User.id).where(crud_user.USERS.visible_to(actor)).order_by(User.id)
    locked = seen.with_for_update(read=True)
    return {
        value: owner_id
        for some in in_batches(sorted(wanted), size=VALUES_AT_ONCE)
        for value, owner_id in db.execute(locked.where(key.in_(some)))
    }


def owner_of(
    wanted: Any, owners: Mapping[Any, int], actor: Principal, *, field: str = "owner_id"
) -> int:
    """Raises OwnerNotPermittedError, OwnerNotFoundError."""
    if wanted in owners:
        return owners[wanted]
    may_give = actor.may(Permission.ITEMS_WRITE_OTHERS)
    error = OwnerNotFoundError if may_give else OwnerNotPermittedError
    raise error(fields={field: error.text})


def _refuse_owner(db: Session, *, owner_id: int, actor: Principal) -> None:
    owner_of(owner_id, lock_owners(db, key=User.id, wanted=[owner_id], actor=actor), actor)
