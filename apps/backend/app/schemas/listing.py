"""What a client asks of a list, whatever dialect it was asked in, or of an export of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

# Of `within` and `outside` the values are pairs, the first and the last that are meant: `eq` and
# `ne` become so where a day is compared with moments.
Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "like", "null", "within", "outside"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Several values of one filter mean "one of"."""

    field: str
    operator: Operator
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class SortKey:
    field: str
    descending: bool


@dataclass(frozen=True, slots=True)
class ListQuery:
    filters: tuple[Filter, ...]
    q: str | None
    sort: tuple[SortKey, ...]
    skip: int
    limit: int
    after: str | None
    deleted: bool = False  # The trash instead of the list.


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """`is_importable` asks for the columns that an import takes, instead of the public ones."""

    rows: ListQuery
    format: ExportFormat
    is_importable: bool
    has_bom: bool
