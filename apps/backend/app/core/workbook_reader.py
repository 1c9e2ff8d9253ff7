"""Reads a workbook in a process of its own: `python -I workbook_reader.py < workbook > rows`.

A small file may unpack to more than the server's memory. Here it ends this process alone. Each line
of the output is a row of the sheet, as a JSON array of texts; an error, such as #N/A, is `false`.
"""

import json
import os
import re
import sys
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile

from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

MAX_UNPACKED_BYTES: Final = 2**28
MAX_MEMORY_BYTES: Final = 2**30
MAX_CPU_SECONDS: Final = 60

# The library gives an error as an empty cell. Marked before, it is a text that begins like this.
MARK: Final = "\U0010fffd"
_XLSX_ERROR: Final = re.compile(
    rb"""(<(?:\w+:)?c\b[^<>]*\bt=["'])e(["'][^<>]*>(?:<[\w:]*f\b[^<>]*(?:/>|>[^<]*</[\w:]*f>))?<[\w:]*v>)"""
)
_ODS_ERROR: Final = re.compile(
    rb"""(\boffice:string-value=")(?="[^<>]*\bcalcext:value-type="error")"""
)


def main() -> None:
    _limit_resources()
    workbook = CalamineWorkbook.from_object(_with_marked_errors(sys.stdin.buffer))
    for sheet in workbook.sheets_metadata:
        if (sheet.typ, sheet.visible) != (SheetTypeEnum.WorkSheet, SheetVisibleEnum.Visible):
            continue
        found = workbook.get_sheet_by_name(sheet.name)
        if found.height:
            for row in found.iter_rows():
                sys.stdout.write(json.dumps([_text_of(cell) for cell in row]) + "\n")
            return


def _limit_resources() -> None:
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  Not on Windows.

    os.nice(10)
    for name, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MAX_UNPACKED_BYTES),
        (resource.RLIMIT_CPU, MAX_CPU_SECONDS),
    ):
        with suppress(OSError, ValueError):  # A lower limit is there, or the system knows none.
            resource.setrlimit(name, (most, most))


def _with_marked_errors(file: Any) -> BytesIO:
    marked = BytesIO()
    with ZipFile(file) as old, ZipFile(marked, "w", ZIP_DEFLATED, compresslevel=1) as new:
        if sum(part.file_size for part in old.infolist()) > MAX_UNPACKED_BYTES:
            sys.exit("This unpacks to too much.")
        for name in dict.fromkeys(old.namelist()):
            content = old.read(name)
            content = _XLSX_ERROR.sub(rb"\1str\2" + MARK.encode(), content)
            content = _ODS_ERROR.sub(rb"\1" + MARK.encode(), content)
            new.writestr(name, content)
    marked.seek(0)
    return marked


def _text_of(cell: Any) -> str | bool:
    match cell:
        case str():
            return False if cell.startswith(MARK) else cell
        case bool():
            return str(cell).lower()
        case float() if cell.is_integer():
            return str(int(cell))
        case datetime():
            return f"{cell.isoformat()}Z"
        case _:
            return str(cell)


if __name__ == "__main__":
    main()
