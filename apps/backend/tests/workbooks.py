"""Workbooks, as spreadsheets write them."""

import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from xlsxwriter import Workbook

_ODF: Final = "urn:oasis:names:tc:opendocument:xmlns:"
_ODS_TYPES: Final = "application/vnd.oasis.opendocument.spreadsheet"


class Broken:
    """A cell whose formula has come to an error."""


def xlsx_of(*sheets: Sequence[Sequence[Any]]) -> bytes:
    file = io.BytesIO()
    with Workbook(file) as workbook:
        formats = {
            date: workbook.add_format({"num_format": "yyyy-mm-dd"}),
            datetime: workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        }
        for rows in sheets:
            sheet = workbook.add_worksheet()
            for number, row in enumerate(rows):
                for column, value in enumerate(row):
                    if value is Broken:
                        sheet.write_formula(number, column, "=NA()", None, "#N/A")
                    elif isinstance(value, date):
                        sheet.write_datetime(number, column, value, formats[type(value)])
                    elif isinstance(value, str):
                        sheet.write_string(number, column, value)
                    elif value is not None:
                        sheet.write(number, column, value)
    return file.getvalue()


def ods_of(rows: Sequence[Sequence[Any]]) -> bytes:
    body = "".join(
        f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows
    )
    empty = '<table:table-cell table:number-columns-repeated="16384"/>'
    rest = f'<table:table-row table:number-rows-repeated="1048000">{empty}</table:table-row>'
    names = "".join(f' xmlns:{name}="{_ODF}{name}:1.0"' for name in ("office", "table", "text"))
    calcext = 'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    content = (
        f"<office:document-content {names} {calcext}><office:body><office:spreadsheet>"
        f'<table:table table:name="S">{body}{rest}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    return archive_of(
        {
            "mimetype": _ODS_TYPES,
            "content.xml": content,
            "META-INF/manifest.xml": (
                f'<manifest:manifest xmlns:manifest="{_ODF}manifest:1.0"></manifest:manifest>'
            ),
        }
    )


def archive_of(files: dict[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def with_part(workbook: bytes, name: str, content: str | bytes) -> bytes:
    """Put another content in the place of a part."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        parts: dict[str, str | bytes] = {one: archive.read(one) for one in archive.namelist()}
    return archive_of(parts | {name: content})


def _ods_cell(value: Any) -> str:
    if value is Broken:
        kind, text = (
            'office:value-type="string" office:string-value="" calcext:value-type="error"',
            "#N/A",
        )
    elif isinstance(value, bool):
        kind, text = f'office:value-type="boolean" office:boolean-value="{str(value).lower()}"', "X"
    elif isinstance(value, int | float):
        kind, text = f'office:value-type="float" office:value="{value}"', "X"
    elif isinstance(value, date):
        kind, text = f'office:value-type="date" office:date-value="{value.isoformat()}"', "X"
    elif value is None:
        return "<table:table-cell/>"
    else:
        kind, text = 'office:value-type="string"', value
    return f"<table:table-cell {kind}><text:p>{text}</text:p></table:table-cell>"
