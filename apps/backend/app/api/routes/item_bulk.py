from collections.abc import Sequence

from app.api.deps import CurrentUser, DbSession, requires
from app.api.dry_run import rehearsable
from app.api.idempotency import idempotent
from app.api.problems import problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud import item_creation as crud_item_creation
from app.crud.listing import Record
from app.schemas.item import ItemBulkCreate, ItemPublic

router = Router(prefix="/items", tags=["items"])


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
