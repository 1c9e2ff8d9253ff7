from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from app.core.text import LINE, LINES
from app.schemas.base import (
    CELL,
    COMPARED,
    DIGITS,
    EMPTY_IS_NULL,
    INVISIBLE_IS_NULL,
    MAX_BULK,
    TRIMMED,
    ImportSchema,
    InputSchema,
    ReadOnly,
    RecordId,
    Schema,
    SeenVersion,
    UpdateSchema,
)
from app.schemas.user import Email


class ItemStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


Title = Annotated[
    str,
    Field(min_length=1, max_length=200, pattern=LINE, examples=["Desk lamp"]),
    COMPARED,
    TRIMMED,
]
Description = Annotated[
    str,
    Field(max_length=20_000, pattern=LINES, examples=["Brass, with a green shade."]),
    INVISIBLE_IS_NULL,
]
StatusName = Annotated[ItemStatus, Field(strict=False)]


class ItemCreate(InputSchema):
    title: Title
    description: Description | None = None
    status: StatusName = ItemStatus.DRAFT
    owner_id: RecordId | None = Field(
        None, description="Yourself when left out; another's only by who may write others' items."
    )


class ItemBulkCreate(InputSchema):
    items: Annotated[list[ItemCreate], Field(min_length=1, max_length=MAX_BULK)]


class ItemBulkChanges(UpdateSchema):
    nullable = frozenset({"description"})

    title: Title | None = None
    description: Description | None = None
    status: StatusName | None = None
    owner_id: RecordId | None = None


class ItemUpdate(ItemBulkChanges):
    id: ReadOnly = None
    created_at: ReadOnly = None
    updated_at: ReadOnly = None
    version: SeenVersion = None


class ItemImport(ImportSchema):
    """A row of an import. With an `id` it is about an item that is there."""

    nullable = frozenset({"description", "owner_email"})
    required: ClassVar[frozenset[str]] = frozenset({"title"})

    title: Title | None = None
    description: Description | None = None
    status: Annotated[StatusName, CELL] = ItemStatus.DRAFT
    owner_email: Annotated[Email, EMPTY_IS_NULL, TRIMMED] | None = None
    id: Annotated[RecordId, DIGITS, CELL] | None = None


class ItemPublic(Schema):
    indexed = frozenset({"id", "title", "status", "owner_id", "created_at", "updated_at"})

    id: int
    title: str = Field(examples=["Desk lamp"])
    description: str | None = Field(examples=["Brass, with a green shade."])
    status: ItemStatus
    owner_id: int
    created_at: datetime
    updated_at: datetime
    version: int
