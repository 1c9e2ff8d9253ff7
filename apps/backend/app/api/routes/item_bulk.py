"""Many items in one request. All or nothing: a refusal names each row that it is for."""

from collections.abc import Sequence
from typing import Final

from app.api.choice import read_choice
from app.api.deps import CurrentUser, DbSession, requires
from app.api.dry_run import rehearsable
from app.api.idempotency import idempotent
from app.api.listing import ListParameters
from app.api.problems import problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud import item_bulk as crud_item_bulk
from app.crud import item_creation as crud_item_creation
from app.crud.listing import Record
from app.schemas.bulk import BulkChoice, ItemBulkUpdate
from app.schemas.item import ItemBulkCreate, ItemPublic

router = Router(prefix="/items", tags=["items"])

ITEM_LIST: Final = ListParameters(ItemPublic)


@router.post(
    "/bulk",
    status_code=201,
    response_model=list[ItemPublic],
    responses=problems(409),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable, idempotent],
)
def create_items(db: DbSession, actor: CurrentUser, items_in: ItemBulkCreate) -> Sequence[Record]:
    """Create up to 1000 items, all or none, by the rules of a single one.

    Refused rows are named by their place, as `items.3.owner_id`.
    """
    return crud_item_creation.create_items(db, items_in=items_in.items, actor=actor)


@router.patch(
    "/bulk",
    response_model=list[ItemPublic],
    responses=problems(404, 409),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable],
)
def update_items(db: DbSession, actor: CurrentUser, body: ItemBulkUpdate) -> Sequence[Record]:
    """Change up to 1000 items alike, or none of them, by the rules that hold for one."""
    choice = read_choice(body, ITEM_LIST)
    return crud_item_bulk.update_items(db, choice=choice, changes=body.changes, actor=actor)


@router.post(
    "/bulk/delete",
    response_model=list[ItemPublic],
    responses=problems(404, 409),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable, idempotent],
)
def delete_items(db: DbSession, actor: CurrentUser, body: BulkChoice) -> Sequence[Record]:
    """Delete up to 1000 items softly, or none of them, and return them as they were left."""
    choice = read_choice(body, ITEM_LIST)
    return crud_item_bulk.delete_items(db, choice=choice, actor=actor)


@router.post(
    "/bulk/restore",
    response_model=list[ItemPublic],
    responses=problems(404, 409),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable, idempotent],
)
def restore_items(db: DbSession, actor: CurrentUser, body: BulkChoice) -> Sequence[Record]:
    """Bring up to 1000 deleted items back, or none of them. A filter finds them in the trash."""
    choice = read_choice(body, ITEM_LIST)
    return crud_item_bulk.restore_items(db, choice=choice, actor=actor)
