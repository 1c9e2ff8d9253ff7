"""What a client asks of an export."""

from dataclasses import dataclass
from enum import StrEnum

from app.schemas.listing import ListQuery


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
