"""Imports over HTTP: which format a file has, its rows in the resource's schema, and the answer."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import PurePath
from typing import Annotated, Any, Final

from fastapi import Query, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.api.deps import CurrentUser, DbSession, requires
from app.api.dry_run import IsDryRun
from app.api.exports import EXPORT_ANSWERS
from app.api.idempotency import idempotent
from app.api.problems import problems
from app.api.routing import Router
from app.api.sent import read_sent
from app.api.uploads import Upload, UploadRoute
from app.core.errors import InvalidInputError
from app.core.permissions import Permission, Principal
from app.core.record_file import FileFormat, RecordFile
from app.core.workbook import unpack_workbook
from app.crud.importing import (
    Chunk,
    Importer,
    Importing,
    Record,
    Row,
    RowRefusedError,
    Values,
)
from app.crud.refusals import Refusals
from app.db.session import rehearse
from app.schemas.base import ImportSchema
from app.schemas.imports import Imported, ImportPreview, ImportResult, OnConflict

CHUNK_ROWS: Final = 5000
WORKBOOKS: Final = frozenset({FileFormat.XLSX, FileFormat.ODS})
FORMATS: Final[Mapping[str, FileFormat]] = {  # By suffix and by media type.
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".xlsx": FileFormat.XLSX,
    ".xlsm": FileFormat.XLSX,
    ".xls": FileFormat.XLSX,  # It cannot be read, and the answer tells what can.
    ".ods": FileFormat.ODS,
    "text/csv": FileFormat.CSV,
    "text/tab-separated-values": FileFormat.CSV,
    "application/jsonl": FileFormat.JSONL,
    "application/x-jsonlines": FileFormat.JSONL,
    "application/ndjson": FileFormat.JSONL,
    "application/x-ndjson": FileFormat.JSONL,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": FileFormat.XLSX,
    "application/vnd.ms-excel": FileFormat.XLSX,
    "application/vnd.oasis.opendocument.spreadsheet": FileFormat.ODS,
}

# By name: the imports that there are, with the schema that is shown and the permission.
IMPORTS: Final[dict[str, tuple[Importer[Any], type[BaseModel], Permission]]] = {}

GivenFormat = Annotated[
    FileFormat | None,
    Query(alias="format", description="Of the file. Left out, its name or media type tells."),
]
GivenOnConflict = Annotated[
    OnConflict,
    Query(description="What is done with rows whose record is there already."),
]

IMPORT_TEXT: Final = """\
Create {names} from a file; with `on_conflict=update` change those whose {named_by} it names.

All rows or none. Refused ones are named by row and column, as `rows.3.{column}`, with the line.
A preview (`dry_run`) tells what would be written, and every error, and is never refused for
its rows."""


class UnknownFormatError(InvalidInputError):
    code = "UNKNOWN_FILE_FORMAT"
    text = "Unknown file format. Set `format` to csv, jsonl, xlsx or ods."
    field = "file"


def open_upload(
    upload: Upload, given: FileFormat | None, schema: type[ImportSchema], public: type[BaseModel]
) -> RecordFile:
    """Raises UnknownFormatError, UnreadableFileError, UnreadableWorkbookError."""
    media_type = (upload.content_type or "").partition(";")[0].strip().lower()
    suffix = PurePath(upload.filename or "").suffix.lower()
    found = given or FORMATS.get(suffix) or FORMATS.get(media_type)
    if found is None:
        raise UnknownFormatError
    if found in WORKBOOKS:
        unpack_workbook(upload.file)
    opened = RecordFile(
        upload.file,
        found,
        columns=template_columns(schema),
        required=schema.required,
        known=schema.model_fields.keys(),
        read_only=public.model_fields.keys() - schema.model_fields.keys(),
    )
    opened.refuse_no_text()
    return opened


def template_columns(schema: type[ImportSchema]) -> list[str]:
    """An `id` is for the end: most rows have none."""
    names = [name for name, field in schema.model_fields.items() if not field.exclude]
    return sorted({**dict.fromkeys(names), schema.key: None}, key="id".__eq__)


def import_rows(
    db: Session,
    importer: Importer[Any],
    importing: Importing,
    *,
    actor: Principal,
    is_dry_run: bool,
) -> ImportPreview | ImportResult:
    """Raises what rows are refused for, unless it is a dry run."""
    find = partial(importer.find, db, actor=actor)
    chunks = read_chunks(importing.file, importer.schema, find)
    importer.write(db, chunks=chunks, importing=importing, actor=actor)
    if not is_dry_run:
        return importing.result()
    rehearse(db)
    return importing.preview(db)


def read_chunks(
    opened: RecordFile,
    schema: type[Row],
    find: Callable[[Mapping[int, Values]], Mapping[int, Record]],
) -> Iterator[Chunk[Row, Record]]:
    """`find` locks the records that rows are about."""
    rows, unit = enumerate(opened.rows()), "Row" if opened.format in WORKBOOKS else "Line"
    while some := dict(islice(rows, CHUNK_ROWS)):
        lines = {index: f"{unit} {row.line}" for index, row in some.items()}
        refusals = Refusals(under="rows", lines=lines)
        for index, row in some.items():
            for column, text in row.problems.items():
                refusals.add(index, RowRefusedError(text, column))
        readable: dict[int, Values] = {
            index: row.values for index, row in some.items() if index not in refusals
        }
        present = find(readable)
        valid = {}
        for index, values in readable.items():
            valid[index] = read_sent(values, schema.model_validate)
            record = vars(present[index]) if index in present else {}
            for column, text in valid[index].refused_for(record).items():
                refusals.add(index, RowRefusedError(text, column))
        yield Chunk(valid, present, refusals)


_CSV_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: EXPORT_ANSWERS[200] | {"content": {"text/csv": {"schema": {"type": "string"}}}}
}


def import_router(
    base: Router,
    importer: Importer[Any],
    *,
    public: type[BaseModel],
    permission: Permission,
    named_by: str,
) -> Router:
    """Return the routes of a resource's import and of its template, beside those in `base`.

    Their files may be larger than other bodies: `add_routes` includes them with their own limit.
    """
    router = Router(prefix=base.prefix, tags=base.tags, route_class=UploadRoute)
    names, schema = base.prefix.strip("/"), importer.schema
    IMPORTS[names] = importer, public, permission

    @router.post(
        "/import",
        name=f"import_{names}",
        response_model=Imported,
        response_description="What was done; with `dry_run=true`, what would be.",
        responses=problems(404, 409, 412),
        dependencies=[requires(permission), idempotent],
        description=IMPORT_TEXT.format(
            names=names, named_by=named_by, column=next(iter(schema.required))
        ),
    )
    def import_records(
        db: DbSession,
        actor: CurrentUser,
        upload: Upload,
        file_format: GivenFormat = None,
        on_conflict: GivenOnConflict = OnConflict.ERROR,
        is_dry_run: IsDryRun = False,
    ) -> ImportPreview | ImportResult:
        importing = Importing(open_upload(upload, file_format, schema, public), on_conflict)
        return import_rows(db, importer, importing, actor=actor, is_dry_run=is_dry_run)

    @router.get(
        "/import/template",
        name=f"get_{names.removesuffix('s')}_template",
        response_class=Response,
        responses=_CSV_ANSWER,
        dependencies=[requires(permission)],
    )
    def get_template() -> Response:
        """Give a file with the heading of an import, to be filled in."""
        return Response(
            ",".join(template_columns(schema)) + "\r\n",
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{names}.csv"'},
        )

    return router
