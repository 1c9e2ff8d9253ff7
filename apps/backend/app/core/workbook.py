"""Workbooks: XLSX is written row by row, and XLSX and ODS are read by a process of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, BinaryIO, Final

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError

from app.core.errors import InvalidInputError
from app.core.spreadsheet import json_text

MAX_CELL_CHARACTERS: Final = 32_767  # A limit of the format.
MAX_SHEET_BYTES: Final = 2**30  # On the disk, where it is written before it is sent.
ROWS_BETWEEN_LOOKS: Final = 1000
WIDTH: Final = 20  # Characters: a moment must have room, or #### is shown in its place.
READER: Final = (sys.executable, "-I", str(Path(__file__).with_name("workbook_reader.py")))
READER_SECONDS: Final = 90
OPTIONS: Final = {
    "constant_memory": True,
    "default_date_format": "yyyy-mm-dd hh:mm:ss",
    "strings_to_formulas": False,
    "strings_to_urls": False,
}

_Cells = Sequence[Any]


class CellTooLongError(InvalidInputError):
    code = "CELL_TOO_LONG"
    text = "A text is longer than the {most} characters that a cell can hold. Export as CSV."
    field = "format"


class UnreadableWorkbookError(InvalidInputError):
    code = "UNREADABLE_FILE"
    text = (
        "The workbook cannot be read: it is broken, protected by a password, in an old format, or "
        "too large. Save it as .xlsx without a password, or as CSV in UTF-8."
    )
    field = "file"


class SheetTooLargeError(InvalidInputError):
    code = "SHEET_TOO_LARGE"
    text = "These rows are too large for a spreadsheet. Narrow the filters, or export as CSV."
    field = "format"


def write_workbook(
    file: IO[bytes],
    *,
    names: Sequence[str],
    rows: Iterable[_Cells],
    most_bytes: int = MAX_SHEET_BYTES,
) -> None:
    """Text stays text: nothing in it becomes a formula or a link. Moments are dates, in UTC.

    Raises CellTooLongError, SheetTooLargeError, and OSError where the disk is full.
    """
    with TemporaryDirectory() as folder:
        workbook = Workbook(file, OPTIONS | {"tmpdir": folder})
        bold = workbook.add_format({"bold": True})
        sheet = workbook.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(names) - 1, WIDTH)
        with closing(sheet.row_data_fh):
            sheet.write_row(0, 0, names, bold)
            for number, row in enumerate(_bounded(rows, folder, most_bytes), start=1):
                sheet.write_row(number, 0, map(_writable, row))
            try:
                workbook.close()
            except FileCreateError as error:
                raise error.args[0] from None  # The OSError.


def _bounded(rows: Iterable[_Cells], folder: str, most_bytes: int) -> Iterator[_Cells]:
    for number, row in enumerate(rows, start=1):
        yield row
        is_due = number % ROWS_BETWEEN_LOOKS == 0
        if is_due and sum(file.stat().st_size for file in os.scandir(folder)) > most_bytes:
            raise SheetTooLargeError


def _writable(value: Any) -> Any:
    """Raises CellTooLongError, where the library would cut the text."""
    match value:
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None)
        case dict() | list():
            value = json_text(value)
    if isinstance(value, str) and len(value) > MAX_CELL_CHARACTERS:
        raise CellTooLongError(most=MAX_CELL_CHARACTERS)
    return value


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
