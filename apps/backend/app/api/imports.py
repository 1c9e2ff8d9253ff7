"""Imports over HTTP: which format a file has, its rows in the resource's schema, and the answer."""

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Annotated, Any, Final, TypeVar

from fastapi import Query, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from app.api.sent import Sent
from app.api.uploads import Upload
from app.api.wording import text_of
from app.core.errors import InvalidInputError
from app.core.record_file import FileFormat, FileRow, RecordFile
from app.crud.importing import Chunk, Importing, RowRefusedError
from app.crud.refusals import Refusals
from app.db.session import rehearse
from app.schemas.base import ImportSchema
from app.schemas.imports import ImportPreview, ImportResult, OnConflict

CHUNK_ROWS: Final = 5000
SUFFIXES: Final[Mapping[str, FileFormat]] = {
    ".csv": FileFormat.CSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
}
MEDIA_TYPES: Final[Mapping[str, FileFormat]] = {
    "text/csv": FileFormat.CSV,
    "application/jsonl": FileFormat.JSONL,
    "application/x-jsonlines": FileFormat.JSONL,
    "application/ndjson": FileFormat.JSONL,
    "application/x-ndjson": FileFormat.JSONL,
}

Row = TypeVar("Row", bound=ImportSchema)
GivenFormat = Annotated[
    FileFormat | None,
    Query(alias="format", description="Of the file. Left out, its name or media type tells."),
]
GivenOnConflict = Annotated[
    OnConflict,
    Query(description="What is done with rows whose record is there already."),
]


class UnknownFormatError(InvalidInputError):
    code = "UNKNOWN_FILE_FORMAT"
    text = "Neither the file's name nor its media type says CSV or JSON Lines: say it with format=."
    field = "file"


def open_upload(upload: Upload, given: FileFormat | None, schema: type[ImportSchema]) -> RecordFile:
    """Raises UnknownFormatError, UnreadableFileError."""
    media_type = (upload.content_type or "").partition(";")[0].strip().lower()
    suffix = PurePath(upload.filename or "").suffix.lower()
    found = given or SUFFIXES.get(suffix) or MEDIA_TYPES.get(media_type)
    if found is None:
        raise UnknownFormatError
    fields = schema.model_fields
    required = frozenset(name for name, field in fields.items() if field.is_required())
    opened = RecordFile(upload.file, found, columns=list(fields), required=required)
    opened.refuse_no_text()
    return opened


def read_chunks(opened: RecordFile, schema: type[Row]) -> Iterator[Chunk[Row]]:
    adapter: TypeAdapter[list[Row]] = TypeAdapter(list[Sent[schema]])  # type: ignore[valid-type]  # Known when called.
    rows = opened.rows()
    while some := list(islice(rows, CHUNK_ROWS)):
        refusals = Refusals(under="rows", lines={row.index: row.line for row in some})
        for row in some:
            if row.problem is not None:
                refusals.add(row.index, RowRefusedError(reason=row.problem))
        readable = [row for row in some if row.problem is None]
        yield Chunk(_validated(adapter, readable, refusals), refusals)


def _validated(
    adapter: TypeAdapter[list[Row]], rows: list[FileRow], refusals: Refusals
) -> dict[int, Row]:
    try:
        found = adapter.validate_python([row.values for row in rows])
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            place, *path = one["loc"]
            column = ".".join(map(str, path)).encode("utf-8", "replace").decode()[:100]
            text = text_of(one)
            blamed = RowRefusedError(reason=text, fields={column: text} if column else None)
            refusals.add(rows[int(place)].index, blamed)
        return _validated(adapter, [row for row in rows if row.index not in refusals], refusals)
    return {row.index: one for row, one in zip(rows, found, strict=True)}


def answer_import(
    db: Session, importing: Importing, *, is_dry_run: bool
) -> ImportResult | ImportPreview:
    """Raises what rows are refused for, unless it is told in a preview."""
    if not is_dry_run:
        return importing.result()
    rehearse(db)
    return importing.preview(db)


def answer_template(schema: type[ImportSchema], *, name: str) -> Response:
    """The heading of a file, and nothing below it."""
    heading = io.StringIO()
    csv.writer(heading).writerow(schema.model_fields)
    return Response(
        heading.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


CSV_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
        "headers": {
            "Content-Disposition": {
                "schema": {"type": "string"},
                "description": "The name of the file.",
            }
        },
    }
}
