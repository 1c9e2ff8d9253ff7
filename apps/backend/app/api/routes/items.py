from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Path, Request, Response

from app.api.answers import answer_deleted, answer_page, name_location
from app.api.bulk import add_bulk_routes
from app.api.deps import CurrentUser, DbSession, Purge, or_not_found, requires
from app.api.dry_run import rehearsable
from app.api.etags import ExpectedVersions, KnownTags, answer_record, tag_of
from app.api.exports import add_export_route
from app.api.idempotency import idempotent
from app.api.imports import import_router
from app.api.listing import ListParameters
from app.api.problems import (
    CREATE_RECORD_ANSWERS,
    LIST_ANSWERS,
    READ_RECORD_ANSWERS,
    RECORD_ANSWERS,
    delete_answers,
    problems,
)
from app.api.routing import Router
from app.api.sent import Sent
from app.core.errors import PermissionDeniedError
from app.core.permissions import Permission
from app.crud import item as crud_item
from app.crud import item_bulk as crud_item_bulk
from app.crud.item_import import ITEM_IMPORTER
from app.crud.listing import Record
from app.crud.records import get_record, lock_record
from app.models.item import Item
from app.schemas.base import RecordId
from app.schemas.item import ItemBulkChanges, ItemBulkCreate, ItemCreate, ItemPublic, ItemUpdate
from app.schemas.listing import ListQuery

router = Router(prefix="/items", tags=["items"])
imports = import_router(
    router, ITEM_IMPORTER, public=ItemPublic, permission=Permission.ITEMS_WRITE, named_by="`id`"
)
item_list = ListParameters(ItemPublic, trash_for=Permission.ITEMS_WRITE)
ItemListQuery = Annotated[ListQuery, Depends(item_list)]
ItemId = Annotated[RecordId, or_not_found(crud_item.ItemNotFoundError), Path()]


def get_visible_item(item_id: ItemId, db: DbSession, actor: CurrentUser) -> Record:
    return get_record(db, crud_item.ITEMS, record_id=item_id, actor=actor)


def get_item_to_change(
    item_id: ItemId, db: DbSession, actor: CurrentUser, expected: ExpectedVersions
) -> Record:
    return get_record(
        db, crud_item.ITEMS, record_id=item_id, actor=actor, is_locked=True, expected=expected
    )


def get_item_to_restore(
    item_id: ItemId, db: DbSession, actor: CurrentUser, expected: ExpectedVersions
) -> Item:
    return lock_record(
        db, crud_item.ITEMS, record_id=item_id, actor=actor, in_trash=True, expected=expected
    )


def get_item_to_delete(
    item_id: ItemId,
    db: DbSession,
    actor: CurrentUser,
    expected: ExpectedVersions,
    purge: Purge = False,
) -> Item:
    if purge and not actor.may(Permission.ITEMS_PURGE):
        raise PermissionDeniedError
    return lock_record(
        db, crud_item.ITEMS, record_id=item_id, actor=actor, in_trash=purge, expected=expected
    )


VisibleItem = Annotated[Record, Depends(get_visible_item)]
ItemToChange = Annotated[Record, Depends(get_item_to_change)]
ItemToRestore = Annotated[Item, Depends(get_item_to_restore)]
ItemToDelete = Annotated[Item, Depends(get_item_to_delete)]


@router.get(
    "/",
    response_model=list[ItemPublic],
    responses=LIST_ANSWERS,
    dependencies=[requires(Permission.ITEMS_READ)],
    openapi_extra=item_list.openapi(),
)
def get_items(
    request: Request, response: Response, db: DbSession, actor: CurrentUser, query: ItemListQuery
) -> Sequence[Record]:
    """List the items that you may see: your own, your department's, or all."""
    page = crud_item.get_items(db, query=query, actor=actor)
    return answer_page(page, query=query, unit="items", request=request, response=response)


@router.post(
    "/",
    status_code=201,
    response_model=ItemPublic,
    responses=CREATE_RECORD_ANSWERS | problems(409),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable, idempotent],
)
def create_item(
    request: Request, response: Response, db: DbSession, actor: CurrentUser, item_in: ItemCreate
) -> Record:
    """Create an item of your own, or for another where you may write others' items."""
    item = crud_item.create_item(db, item_in=item_in, actor=actor)
    name_location(request, response, item["id"])
    response.headers["ETag"] = tag_of(item["version"])
    return item


add_export_route(
    router, crud_item.ITEMS, item_list, name="items", permission=Permission.ITEMS_EXPORT
)


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
    return crud_item_bulk.create_items(db, items_in=items_in.items, actor=actor)


add_bulk_routes(
    router,
    crud_item_bulk.ITEM,
    public=ItemPublic,
    changes=ItemBulkChanges,
    single=ItemUpdate,
    permission=Permission.ITEMS_WRITE,
)


@router.get(
    "/{item_id}",
    response_model=ItemPublic,
    responses=READ_RECORD_ANSWERS | problems(404),
    dependencies=[requires(Permission.ITEMS_READ)],
)
def get_item(response: Response, item: VisibleItem, known: KnownTags) -> Record | Response:
    """Show an item."""
    return answer_record(item, tag=tag_of(item["version"]), known=known, response=response)


@router.patch(
    "/{item_id}",
    response_model=ItemPublic,
    responses=RECORD_ANSWERS | problems(404, 409, 412),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable],
)
@router.put(
    "/{item_id}",
    response_model=ItemPublic,
    responses=RECORD_ANSWERS | problems(404, 409, 412),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable],
    operation_id="replace_item",
)
def update_item(
    response: Response,
    db: DbSession,
    actor: CurrentUser,
    item: ItemToChange,
    item_in: Sent[ItemUpdate],
) -> Record:
    """Change the given fields of an item; the rest stays as it is."""
    changed = crud_item.update_item(db, item=item, item_in=item_in, actor=actor)
    response.headers["ETag"] = tag_of(changed["version"])
    return changed


@router.delete(
    "/{item_id}",
    status_code=204,
    responses=delete_answers(ItemPublic) | problems(404, 409, 412),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable],
)
def delete_item(
    request: Request, db: DbSession, item: ItemToDelete, purge: Purge = False
) -> Response:
    """Delete an item: into the trash, from which it can be restored, or for good."""
    if purge:
        crud_item.purge_item(db, item=item)
    else:
        crud_item.delete_item(db, item=item)
    return answer_deleted(request, item, ItemPublic)


@router.post(
    "/{item_id}/restore",
    response_model=ItemPublic,
    responses=RECORD_ANSWERS | problems(404, 409, 412),
    dependencies=[requires(Permission.ITEMS_WRITE), rehearsable, idempotent],
)
def restore_item(response: Response, db: DbSession, item: ItemToRestore) -> Item:
    """Take an item out of the trash."""
    item = crud_item.restore_item(db, item=item)
    response.headers["ETag"] = tag_of(item.version)
    return item
