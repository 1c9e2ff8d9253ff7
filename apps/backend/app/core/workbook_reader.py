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

from python_calamine import CalamineWorkbook

MAX_UNPACKED_BYTES: Final = 2**28
MAX_MEMORY_BYTES: Final = 2**30
MAX_HEIGHT: Final = 250_000  # No import has so many rows.

# The library gives an error as an empty cell. So the file is changed: there it becomes this text.
ERROR: Final = "\U0010fffd"
_XLSX_ERROR: Final = re.compile(
    rb"""(<(?:\w+:)?c\b[^<>]{0,99}\bt=["'])e(["'][^<>]{0,99}>(?:<[\w:]*f\b[^<>]*(?:/>|>[^<]*</[\w:]*f>))?<[\w:]*v>)[^<]*"""
)
_ODS_ERROR: Final = re.compile(
    rb"""(\boffice:string-value=")("[^<>]*\bcalcext:value-type="error")"""
)


def main() -> None:
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  Windows has none.

        os.nice(10)
        limits = {resource.RLIMIT_AS: MAX_MEMORY_BYTES, resource.RLIMIT_FSIZE: MAX_UNPACKED_BYTES}
        for limit, most in limits.items():
            with suppress(OSError, ValueError):  # There is a lower one, or the system knows none.
                resource.setrlimit(limit, (most, most))
    workbook = CalamineWorkbook.from_object(_with_told_errors(sys.stdin.buffer))
    sheets = map(workbook.get_sheet_by_name, workbook.sheet_names)
    first = next((sheet for sheet in sheets if sheet.height), None)
    if first and first.height > MAX_HEIGHT:
        sys.exit("These are too many rows.")
    for row in first.iter_rows() if first else ():
        sys.stdout.write(json.dumps([_text_of(cell) for cell in row]) + "\n")


def _with_told_errors(file: Any) -> BytesIO:
    told = BytesIO()
    with ZipFile(file) as old, ZipFile(told, "w", ZIP_DEFLATED, compresslevel=1) as new:
        if sum(part.file_size for part in old.infolist()) > MAX_UNPACKED_BYTES:
            sys.exit("This unpacks to too much.")
        for name in dict.fromkeys(old.namelist()):
            content = _XLSX_ERROR.sub(rb"\1str\2" + ERROR.encode(), old.read(name))
            new.writestr(name, _ODS_ERROR.sub(rb"\1" + ERROR.encode() + rb"\2", content))
    told.seek(0)
    return told


def _text_of(cell: Any) -> str | bool:
    match cell:
        case str():
            return False if cell == ERROR else cell
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
