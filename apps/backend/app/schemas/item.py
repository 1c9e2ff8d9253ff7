from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from app.schemas.base import (
    DIGITS,
    MAX_BULK,
    ImportSchema,
    InputSchema,
    ReadOnly,
    RecordId,
    Schema,
    UpdateSchema,
    Visible,
)
from app.schemas.user import Email


class ItemStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


Title = Annotated[Visible, Field(min_length=1, max_length=200, examples=["Desk lamp"])]
Description = Annotated[str, Field(max_length=20_000, examples=["Brass, with a green shade."])]
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


class ItemUpdate(UpdateSchema):
    nullable: ClassVar[frozenset[str]] = frozenset({"description"})

    title: Title | None = None
    description: Description | None = None
    status: StatusName | None = None
    owner_id: RecordId | None = None

    id: ReadOnly = None
    created_at: ReadOnly = None
    updated_at: ReadOnly = None
    version: ReadOnly = None


class ItemBulkChanges(UpdateSchema):
    nullable: ClassVar[frozenset[str]] = frozenset({"description"})

    title: Title | None = None
    description: Description | None = None
    status: StatusName | None = None
    owner_id: RecordId | None = None


class ItemImport(ImportSchema):
    """A row of an import. With an `id` it is about an item that is there."""

    nullable: ClassVar[frozenset[str]] = frozenset({"description", "owner_email"})
    required: ClassVar[frozenset[str]] = frozenset({"title"})

    title: Title | None = None
    description: Description | None = None
    status: StatusName = ItemStatus.DRAFT
    owner_email: Email | None = None
    id: Annotated[RecordId, DIGITS] | None = None


class ItemPublic(Schema):
    sortable: ClassVar[frozenset[str] | None] = frozenset(
        {"id", "title", "status", "owner_id", "created_at", "updated_at"}
    )

    id: int
    title: str
    description: str | None
    status: ItemStatus
    owner_id: int
    created_at: datetime
    updated_at: datetime
    version: int
