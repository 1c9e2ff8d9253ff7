"""Workbooks: XLSX is written row by row, and XLSX and ODS are read by a process of its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, Final

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from app.core.errors import InvalidInputError
from app.core.spreadsheet import json_text

MAX_CELL_CHARACTERS: Final = 32_767  # A limit of the format.
WIDTH: Final = 20  # Characters: a moment must have room, or #### is shown in its place.
READER: Final = (sys.executable, "-I", str(Path(__file__).with_name("workbook_reader.py")))
READER_SECONDS: Final = 90


class CellTooLongError(InvalidInputError):
    code = "CELL_TOO_LONG"
    text = "A cell of a spreadsheet holds {most} characters; a text here is longer. Ask for csv."
    field = "format"


class UnreadableWorkbookError(InvalidInputError):
    code = "UNREADABLE_FILE"
    text = (
        "The workbook cannot be read: it is broken, protected by a password, in an old format, or "
        "too large. Save it as .xlsx without a password, or as CSV in UTF-8."
    )
    field = "file"


def write_workbook(file: IO[bytes], *, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Text stays text: nothing in it becomes a formula or a link. Moments are dates, in UTC."""
    with Workbook(file, {"constant_memory": True}) as workbook:
        bold = workbook.add_format({"bold": True})
        moment = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet = workbook.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(names) - 1, WIDTH)
        for column, name in enumerate(names):
            sheet.write_string(0, column, name, bold)
        for number, row in enumerate(rows, start=1):
            for column, value in enumerate(row):
                _write_cell(sheet, number, column, value, moment)


def _write_cell(sheet: Worksheet, row: int, column: int, value: Any, moment: Format) -> None:
    match value:
        case None:
            pass
        case str():
            _write_text(sheet, row, column, value)
        case bool():
            sheet.write_boolean(row, column, value)
        case int():
            sheet.write_number(row, column, value)
        case datetime():
            sheet.write_datetime(row, column, value.astimezone(UTC).replace(tzinfo=None), moment)
        case _:
            _write_text(sheet, row, column, json_text(value))


def _write_text(sheet: Worksheet, row: int, column: int, text: str) -> None:
    """Raises CellTooLongError, where the library would cut the text."""
    if len(text) > MAX_CELL_CHARACTERS:
        raise CellTooLongError(most=MAX_CELL_CHARACTERS)
    sheet.write_string(row, column, text)


def unpack_workbook(file: BinaryIO) -> None:
    """Put the rows in the place of the workbook, as `workbook_reader` writes them.

    Raises UnreadableWorkbookError.
    """
    file.fileno()  # What is still in memory is on the disk now.
    file.seek(0)
    with TemporaryFile() as rows:
        try:
            subprocess.run(  # noqa: S603  Nothing in the command was given by a client.
                READER, stdin=file, stdout=rows, stderr=DEVNULL, timeout=READER_SECONDS, check=True
            )
        except subprocess.SubprocessError:
            raise UnreadableWorkbookError from None
        rows.seek(0)
        file.seek(0)
        file.truncate()
        shutil.copyfileobj(rows, file)
