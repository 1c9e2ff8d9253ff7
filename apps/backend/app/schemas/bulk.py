"""Requests about many records at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from app.schemas.base import MAX_BULK, InputSchema, RecordId
from app.schemas.item import ItemBulkChanges
from app.schemas.listing import ListQuery
from app.schemas.user import UserBulkChanges

# How many there are is counted where the rows are chosen, by filter or by id alike.
Ids = Annotated[
    list[RecordId],
    Field(min_length=1, json_schema_extra={"maxItems": MAX_BULK, "uniqueItems": True}),
]


class BulkChoice(InputSchema):
    """Either `ids` or `filter`."""

    ids: Ids | None = Field(None, description="These records, and all of them.")
    filter: dict[str, Any] | None = Field(
        None,
        description="Or those that the list would show for these filters; not empty.",
        examples=[{"q": "lamp", "id": [1, 2]}],
    )


class UserBulkUpdate(BulkChoice):
    changes: UserBulkChanges


class ItemBulkUpdate(BulkChoice):
    changes: ItemBulkChanges


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice as it was understood: without a query, the ids are meant."""

    ids: Sequence[int] = ()
    query: ListQuery | None = None
