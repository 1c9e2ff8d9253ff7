"""Exports: all that a list shows, written row by row, on a connection of their own."""

import shutil
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Result,
    Select,
    String,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.core.errors import InvalidInputError
from app.core.origin import Origin
from app.core.permissions import Principal
from app.core.spreadsheet import UNSAFE, csv_line
from app.core.workbook import write_workbook
from app.crud import audit as crud_audit
from app.crud.listing import Listing, select_whole
from app.db.base import UtcDateTime
from app.db.driver_session import Writable, copy_csv
from app.db.session import exporting, unit_of_work
from app.models.mixins import without_deleted
from app.schemas.listing import ExportFormat, ExportQuery, SortNeedsFilterError

# As in JSON: with microseconds, unless there are none.
_MOMENT: Final = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


@dataclass(frozen=True)
class Export:
    """What is exported, and of which kind of record."""

    resource_type: str
    statement: Select[Any]
    query: ExportQuery

    @property
    def names(self) -> list[str]:
        return [str(column["name"]) for column in self.statement.column_descriptions]


class SheetTooLongError(InvalidInputError):
    code = "SHEET_TOO_LONG"
    text = "A spreadsheet holds at most {most} rows. Narrow the filters, or export as CSV."
    field = "format"


ROWS_AT_ONCE: Final = 1000


def get_export(listing: Listing[Any], *, query: ExportQuery, actor: Principal) -> Export:
    importable = listing.importable if query.is_importable else None
    columns = listing.select if importable is None else importable
    scope = listing.visible_to(actor)
    statement = select_whole(columns, listing=listing, query=query.rows, scope=scope)
    return Export(listing.exported_as, statement, query)


def write_export(out: Writable, *, export: Export, origin: Origin) -> None:
    """Note the export in the audit, for good, and then write it.

    Raises SheetTooLongError, SortNeedsFilterError.
    """
    write = _WRITERS[export.query.format]
    with exporting() as db:
        _refuse_too_many(db, export)
        with unit_of_work(origin) as noting:
            _record(noting, export)
        write(db, export, out)


def _refuse_too_many(db: Session, export: Export) -> None:
    unindexed = export.query.rows.unindexed
    if unindexed is not None and _is_more_than(get_settings().MAX_UNINDEXED_SORT, db, export):
        raise SortNeedsFilterError(*unindexed)
    most = get_settings().EXPORT_XLSX_MAX_ROWS
    if export.query.format is ExportFormat.XLSX and _is_more_than(most, db, export):
        raise SheetTooLongError(most=most)


def _is_more_than(most: int, db: Session, export: Export) -> bool:
    some = export.statement.order_by(None).limit(most + 1).subquery()
    count = select(func.count()).select_from(some)
    reach = export.statement.get_execution_options()
    return (db.scalar(count, execution_options=reach) or 0) > most


def _record(db: Session, export: Export) -> None:
    asked = export.query.rows
    told = {
        "format": export.query.format,
        "columns": "importable" if export.query.is_importable else None,
        "q": asked.q,
        "sort": [f"{'-' if key.descending else ''}{key.field}" for key in asked.sort],
        "deleted": asked.deleted,
        "filters": {f"{one.field}_{one.operator}": one.values for one in asked.filters},
    }
    crud_audit.record(
        db,
        action="export",
        resource_type=export.resource_type,
        resource_id=None,
        changes={name: [None, value] for name, value in told.items() if value},
    )


def _write_csv(db: Session, export: Export, out: Writable) -> None:
    out.write((BOM_UTF8 if export.query.has_bom else b"") + csv_line(export.names))
    if db.get_bind().dialect.name == "postgresql":
        copy_csv(db, statement=without_deleted(_as_csv(export.statement)), out=out)
    else:
        for row in _rows(db, export):
            out.write(csv_line(row))


def _write_json_lines(db: Session, export: Export, out: Writable) -> None:
    names = export.names
    for row in _rows(db, export):
        out.write(to_json(dict(zip(names, row, strict=True))) + b"\n")


def _write_xlsx(db: Session, export: Export, out: Writable) -> None:
    with TemporaryFile() as file:
        write_workbook(file, names=export.names, rows=_rows(db, export))
        file.seek(0)
        shutil.copyfileobj(file, out)


_WRITERS: Final[Mapping[ExportFormat, Callable[[Session, Export, Writable], None]]] = {
    ExportFormat.CSV: _write_csv,
    ExportFormat.JSONL: _write_json_lines,
    ExportFormat.XLSX: _write_xlsx,
}


def _rows(db: Session, export: Export) -> Result[Any]:
    return db.execute(export.statement, execution_options={"yield_per": ROWS_AT_ONCE})


def _as_csv(statement: Select[Any]) -> Select[Any]:
    """Have PostgreSQL render each value as `csv_line` does."""
    columns = [_cell(column["expr"]) for column in statement.column_descriptions]
    return statement.with_only_columns(*columns, maintain_column_froms=True)


def _cell(column: ColumnElement[Any]) -> ColumnElement[Any]:
    match column.type:
        case String():
            return _text_cell(column)
        case UtcDateTime():
            return func.replace(func.to_char(column, _MOMENT), ".000000Z", "Z")
        case Boolean() | JSON():
            return cast(column, Text)
        case _:
            return column


def _text_cell(column: ColumnElement[str]) -> ColumnElement[Any]:
    """Most text begins with a letter, and to see that is much cheaper than the pattern."""
    quote: ColumnElement[str] = literal("'")
    byte_by_byte = column.collate("C")
    return case(
        (and_(byte_by_byte >= "A", byte_by_byte < "{"), column),
        (column.regexp_match(UNSAFE), quote.concat(column)),
        else_=func.nullif(column, ""),
    )
