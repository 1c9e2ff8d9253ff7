from typing import Any, Literal

from pydantic import Field

from app.schemas.base import Schema


class RehearsedChange(Schema):
    id: int | None = Field(description="Null for a record that would be created.")
    resource_type: str
    action: str = Field(description="`create`, `update`, `delete`, `restore` or `purge`.")
    fields: dict[str, list[Any]] = Field(description="Of each field the value before and after.")


class DryRun(Schema):
    """What a request would have done. Nothing of it was."""

    dry_run: Literal[True] = True
    changes: list[RehearsedChange]
    errors: dict[str, str] = Field(default_factory=dict, description="Of an import, by row.")
