"""The records of a file, read one at a time and as often as one likes.

A workbook is unpacked first (`core/workbook.py`). Its rows are read like those of a CSV.
"""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, count, repeat
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from app.core.errors import InvalidInputError
from app.core.spreadsheet import read_harmless
from app.core.text import fold

MAX_ROWS: Final = 200_000
MAX_LINES: Final = 5 * MAX_ROWS  # A text may have several.
# The longest text that a field takes, as JSON that escapes every character, and the rest.
MAX_LINE_BYTES: Final = 512 * 1024
MAX_TOLD: Final = 20
DELIMITERS: Final = ("\0", ",", ";", "\t")  # The first is in no text: for a single column.
# What may stand in the first line, for Excel: `sep=;`.
TOLD_DELIMITER: Final = re.compile(r'"?sep=(\t|\\t|[^\w\s"])"?\1*\s*', re.IGNORECASE)

Cell = str | bool | None  # An empty one is None, an error is False.
NO_OBJECT: Final = "Must be a JSON object."
NO_VALUE: Final = "The cell holds an error, such as #N/A."


class FileFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"
    ODS = "ods"


class UnreadableFileError(InvalidInputError):
    code = "UNREADABLE_FILE"
    text = "Line {line} of the file {reason}."
    field = "file"


class EmptyFileError(InvalidInputError):
    code = "EMPTY_FILE"
    text = "The file holds no rows."
    field = "file"


class TooManyRowsError(InvalidInputError):
    code = "TOO_MANY_ROWS"
    text = "The file holds more than {most} rows. Send it in parts."
    field = "file"


class WrongColumnsError(InvalidInputError):
    code = "WRONG_COLUMNS"
    text = "{problems} Expected: {expected}."


@dataclass(frozen=True, slots=True)
class FileRow:
    """`line` is where it begins, counted from 1. `problems` tell by column why it has no values;
    those of the whole row stand under an empty name.
    """

    line: int
    values: dict[str, Any]
    problems: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RecordFile:
    """`columns` are told to people, and `known` are all that are read. What is `read_only` stands
    in exports, and what is found of it is `ignored`. An `id` makes up for the `required` ones.
    """

    file: BinaryIO
    format: FileFormat
    columns: Sequence[str]
    required: frozenset[str]
    known: AbstractSet[str]
    read_only: AbstractSet[str]
    ignored: set[str] = field(default_factory=set)

    def rows(self) -> Iterator[FileRow]:
        """Raises UnreadableFileError, WrongColumnsError, EmptyFileError, TooManyRowsError."""
        self.file.seek(0)
        found = self._json_rows() if self.format is FileFormat.JSONL else self._table_rows()
        number = 0
        for number, row in enumerate(found, start=1):
            if number > MAX_ROWS:
                raise TooManyRowsError(most=MAX_ROWS)
            for name in self.read_only & row.values.keys():
                del row.values[name]
                self.ignored.add(name)
            yield row
        if not number:
            raise EmptyFileError

    def texts_of(self, column: str) -> set[str]:
        """Return what stands in a column, as it is compared."""
        values = (row.values.get(column) for row in self.rows())
        return {fold(value) for value in values if isinstance(value, str)}

    def refuse_no_text(self) -> None:
        """Raises UnreadableFileError."""
        self.file.seek(0)
        for number in count(1):
            line = self.file.readline(MAX_LINE_BYTES + 1)
            if not line:
                break
            if len(line) > MAX_LINE_BYTES:
                raise UnreadableFileError(line=number, reason="is too long")
            if number > MAX_LINES:
                raise TooManyRowsError(most=MAX_ROWS)
            with suppress(UnicodeDecodeError):
                if "\0" not in line.decode():  # UTF-16 has them beside Latin letters.
                    continue
            reason = "is not UTF-8 text: save as UTF-8 (in Excel: CSV UTF-8)"
            raise UnreadableFileError(line=number, reason=reason)

    def _table_rows(self) -> Iterator[FileRow]:
        lines = self._csv_lines() if self.format is FileFormat.CSV else self._sheet_lines()
        filled = ((line, cells) for line, cells in lines if cells.count(None) < len(cells))
        names: Sequence[str] = ()
        for line, cells in filled:
            if not names:
                names = self._names(cells)
                continue
            values = dict(zip(names, chain(cells, repeat(None)), strict=False))
            problems = {name: NO_VALUE for name, value in values.items() if value is False}
            if any(one is not None for one in cells[len(names) :]):
                problems[""] = f"There are {len(cells)} values for {len(names)} columns."
            yield FileRow(line, values, problems)

    def _csv_lines(self) -> Iterator[tuple[int, Sequence[Cell]]]:
        text = io.TextIOWrapper(self.file, encoding="utf-8-sig", newline="")
        try:
            told = TOLD_DELIMITER.fullmatch(text.readline())
            delimiter = told[1][-1:].replace("t", "\t") if told else self._delimiter_of(text)
            for line, cells in _csv_lines(text, delimiter):
                # An empty cell is null.
                yield line + bool(told), [read_harmless(cell) or None for cell in cells]
        finally:
            with suppress(ValueError):  # It is closed already.
                text.detach()  # Or it would close the file.

    def _delimiter_of(self, text: io.TextIOWrapper) -> str:
        """Return what parts the heading into the most names that are known, or else into most."""
        text.seek(0)
        head = text.read(MAX_LINE_BYTES)
        text.seek(0)

        def fit(delimiter: str) -> tuple[int, int]:
            with suppress(UnreadableFileError, StopIteration):
                _, heading = next(_csv_lines(io.StringIO(head, newline=""), delimiter))
                names = {_title_of(cell).lower() for cell in heading}
                return len(names & (self.known | self.read_only)), len(heading)
            return 0, 0

        return max(DELIMITERS, key=fit)

    def _sheet_lines(self) -> Iterator[tuple[int, Sequence[Cell]]]:
        for number, line in enumerate(self.file, start=1):
            yield number, [None if cell == "" else cell for cell in from_json(line)]

    def _names(self, heading: Sequence[Cell]) -> Sequence[str]:
        """Raises WrongColumnsError. Spreadsheets write empty columns at the end."""
        titles = [_title_of(cell) for cell in heading]
        while titles and not titles[-1]:
            titles.pop()
        names, known = [one.lower() for one in titles], self.known | self.read_only
        wrong = {
            "Unrecognised": [
                one[:100] for one in dict.fromkeys(titles) if one.lower() not in known
            ],
            "Repeated": [one for one in known if names.count(one) > 1],
            "Missing": [] if "id" in names else sorted(self.required - set(names)),
        }
        told = {kind: some[:MAX_TOLD] for kind, some in wrong.items() if some}
        if told:
            texts = {kind: f"This column is {kind.lower()}." for kind in told}
            raise WrongColumnsError(
                problems=" ".join(f"{kind} columns: {', '.join(told[kind])}." for kind in told),
                expected=", ".join(self.columns),
                fields={f"columns.{one}": texts[kind] for kind in told for one in told[kind]},
            )
        return names

    def _json_rows(self) -> Iterator[FileRow]:
        for number, line in enumerate(self.file, start=1):
            content = (line.removeprefix(BOM_UTF8) if number == 1 else line).strip()
            if not content:
                continue
            try:
                value = from_json(content, allow_inf_nan=False)
            except ValueError:
                yield FileRow(number, {}, {"": "This is not readable JSON."})
            else:
                is_object = isinstance(value, dict)
                yield FileRow(number, *((value, {}) if is_object else ({}, {"": NO_OBJECT})))


def _csv_lines(text: io.TextIOBase, delimiter: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Give the rows in which something stands, and the line where each begins."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            reason = "has quotes that are misplaced or not closed, or a value that is too long"
            raise UnreadableFileError(line=line, reason=reason) from None
        if any(cells):
            yield line, cells


def _title_of(cell: Cell) -> str:
    return str(cell or "").strip().strip('"').strip()
