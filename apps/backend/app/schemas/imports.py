from enum import StrEnum
from typing import Literal

from pydantic import Field

from app.schemas.base import Schema
from app.schemas.dry_run import RehearsedChange


class OnConflict(StrEnum):
    ERROR = "error"
    SKIP = "skip"
    UPDATE = "update"


class ImportResult(Schema):
    created: int
    updated: int = Field(description="Records that had other values before.")
    skipped: int = Field(description="Rows whose record is there and stays as it is.")


class ImportPreview(ImportResult):
    """What an import would do. Nothing of it was done."""

    dry_run: Literal[True] = True
    changes: list[RehearsedChange] = Field(description="The first 1000.")
    errors: dict[str, str] = Field(description="The first 100, by row and column.")
