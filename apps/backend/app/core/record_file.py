"""The records of a file, CSV or JSON Lines, read one at a time and as often as one likes."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from app.core.errors import InvalidInputError
from app.core.spreadsheet import read_harmless
from app.core.text import fold

MAX_ROWS: Final = 200_000
# The longest text that a field takes, as JSON that escapes every character, and the rest.
MAX_LINE_BYTES: Final = 512 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class FileFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


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
    text = "The heading of the file is not that of an import."


@dataclass(frozen=True, slots=True)
class FileRow:
    """`line` is where it begins, counted from 1; `problem` tells why it has no values."""

    index: int
    line: int
    values: dict[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RecordFile:
    file: BinaryIO
    format: FileFormat
    columns: Sequence[str]
    required: frozenset[str]

    def rows(self) -> Iterator[FileRow]:
        """Raises UnreadableFileError, WrongColumnsError, EmptyFileError, TooManyRowsError."""
        self.file.seek(0)
        found = self._csv_rows() if self.format is FileFormat.CSV else self._json_rows()
        index = -1
        for index, (line, values, problem) in enumerate(found):
            if index >= MAX_ROWS:
                raise TooManyRowsError(most=MAX_ROWS)
            yield FileRow(index, line, values, problem)
        if index < 0:
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
            if b"\0" in line:
                raise UnreadableFileError(line=number, reason="holds a NUL: this is no text")
            try:
                line.decode()
            except UnicodeDecodeError:
                reason = "is not UTF-8: save the file as UTF-8 text"
                raise UnreadableFileError(line=number, reason=reason) from None

    def _csv_rows(self) -> Iterator[tuple[int, dict[str, Any], str | None]]:
        text = io.TextIOWrapper(self.file, encoding="utf-8-sig", newline="")
        try:
            lines = _csv_lines(text)
            _, heading = next(lines, (1, None))
            if heading is None:
                raise EmptyFileError
            names = self._names(heading)
            for line, cells in lines:
                if len(cells) != len(names):
                    yield line, {}, f"There are {len(cells)} values for {len(names)} columns."
                else:
                    yield line, dict(zip(names, map(_value_of, cells), strict=True)), None
        finally:
            with suppress(ValueError):  # It is closed already.
                text.detach()  # Or it would close the file.

    def _names(self, heading: Sequence[str]) -> Sequence[str]:
        """Raises WrongColumnsError."""
        names = [name.strip().lower() for name in heading]
        wrong = dict.fromkeys(self.required - set(names), "This column is missing.")
        for name in names:
            if name not in self.columns:
                wrong[name[:100]] = (
                    f"There is no such column. There are: {', '.join(self.columns)}."
                )
            elif names.count(name) > 1:
                wrong[name] = "This column stands there more than once."
        if wrong:
            raise WrongColumnsError(fields={f"columns.{one}": text for one, text in wrong.items()})
        return names

    def _json_rows(self) -> Iterator[tuple[int, dict[str, Any], str | None]]:
        for number, line in enumerate(self.file, start=1):
            content = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).strip()
            if not content:
                continue
            try:
                value = from_json(content, allow_inf_nan=False)
            except ValueError:
                yield number, {}, "This is not readable JSON."
                continue
            is_object = isinstance(value, dict)
            yield (
                number,
                value if is_object else {},
                None if is_object else "Must be a JSON object.",
            )


def _csv_lines(text: io.TextIOWrapper) -> Iterator[tuple[int, Sequence[str]]]:
    """Give the rows in which something stands, and the line where each begins."""
    reader = csv.reader(text, strict=True)
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


def _value_of(cell: str) -> str | None:
    """An empty cell is null. What made a text harmless to spreadsheets is taken off."""
    return (read_harmless(cell) if cell.startswith("'") else cell) or None
