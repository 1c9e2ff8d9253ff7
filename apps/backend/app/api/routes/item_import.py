from functools import partial

from fastapi import Response

from app.api.deps import CurrentUser, DbSession, requires
from app.api.dry_run import IsDryRun
from app.api.idempotency import idempotent
from app.api.imports import (
    CSV_ANSWER,
    GivenFormat,
    GivenOnConflict,
    answer_import,
    answer_template,
    open_upload,
    read_chunks,
)
from app.api.problems import problems
from app.api.routing import Router
from app.api.uploads import Upload, UploadRoute
from app.core.permissions import Permission
from app.crud import item_import as crud_item_import
from app.schemas.imports import ImportPreview, ImportResult, OnConflict
from app.schemas.item import ItemImport, ItemPublic

router = Router(prefix="/items", tags=["items"], route_class=UploadRoute)


@router.post(
    "/import",
    response_model=ImportPreview | ImportResult,
    responses=problems(409, 412),
    dependencies=[requires(Permission.ITEMS_WRITE), idempotent],
)
def import_items(
    db: DbSession,
    actor: CurrentUser,
    upload: Upload,
    file_format: GivenFormat = None,
    on_conflict: GivenOnConflict = OnConflict.ERROR,
    is_dry_run: IsDryRun = False,
) -> ImportPreview | ImportResult:
    """Create items from a file; with `on_conflict=update` change those whose `id` it names.

    All rows or none. Refused ones are named by row and column, as `rows.3.title`, with the line.
    A preview (`dry_run`) tells what would be written, and every error, and is never refused for
    its rows.
    """
    opened = open_upload(upload, file_format, ItemImport, ItemPublic)
    find = partial(crud_item_import.find_items, db, actor=actor)
    importing = crud_item_import.import_items(
        db,
        chunks=read_chunks(opened, ItemImport, find),
        on_conflict=on_conflict,
        actor=actor,
    )
    return answer_import(db, importing, opened, is_dry_run=is_dry_run)


@router.get(
    "/import/template",
    response_class=Response,
    responses=CSV_ANSWER,
    dependencies=[requires(Permission.ITEMS_WRITE)],
)
def get_item_template() -> Response:
    """Give a file with the heading of an import, to be filled in."""
    return answer_template(ItemImport, name="items")
