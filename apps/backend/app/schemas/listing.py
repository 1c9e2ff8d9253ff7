"""What a client asks of a list, whatever dialect it was asked in, or of an export of it."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from app.core.config import get_settings
from app.core.errors import InvalidInputError

# Of `within` and `outside` the values are pairs, the first and the last that are meant: `eq` and
# `ne` become so where a day is compared with moments.
Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "like", "null", "within", "outside"]
COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


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


class SortNeedsFilterError(InvalidInputError):
    code = "SORT_NEEDS_FILTER"
    text = (
        "More than {most:,} records match, too many to sort by this field. Narrow the list with a "
        "filter or a search, or sort by one of these: {indexed}."
    )

    def __init__(self, parameter: str, indexed: str) -> None:
        super().__init__(most=get_settings().MAX_UNINDEXED_SORT, indexed=indexed)
        self.fields = {parameter: self.detail}


@dataclass(frozen=True, slots=True)
class ListQuery:
    filters: tuple[Filter, ...]
    q: str | None
    sort: tuple[SortKey, ...]
    skip: int
    limit: int
    after: str | None
    deleted: bool = False  # The trash instead of the list.
    # Where no index serves the sort: the parameter to blame, and what could be sorted by instead.
    unindexed: tuple[str, str] | None = None


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
