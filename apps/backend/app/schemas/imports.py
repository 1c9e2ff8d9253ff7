from enum import StrEnum
from operator import not_
from typing import Annotated, Literal

from pydantic import Field

from app.schemas.audit import RehearsedChange
from app.schemas.base import Schema


class OnConflict(StrEnum):
    ERROR = "error"
    SKIP = "skip"
    UPDATE = "update"


class ImportCounts(Schema):
    created: int
    updated: int = Field(description="Records that had other values before.")
    skipped: int = Field(description="Rows whose record is there and stays as it is.")
    ignored_columns: list[str] = Field(
        [], exclude_if=not_, description="Read-only ones. Left out where there are none."
    )


class ImportResult(ImportCounts):
    """What an import has done."""

    kind: Literal["import"] = "import"


class ImportPreview(ImportCounts):
    """What an import would do. Nothing of it was done."""

    kind: Literal["preview"] = "preview"
    dry_run: bool = True
    refused: bool = Field(description="Whether the import would be refused, for its errors.")
    detail: str = Field("", exclude_if=not_, description="Why it would be refused.")
    changes: list[RehearsedChange] = Field(
        description="Of the rows without errors, the first 1000."
    )
    errors: dict[str, str] = Field(description="The first 100, by row and column.")


Imported = Annotated[ImportPreview | ImportResult, Field(discriminator="kind")]
