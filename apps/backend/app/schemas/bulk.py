"""Requests about many records at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from app.core.errors import InvalidInputError
from app.schemas.base import MAX_BULK, InputSchema, RecordId, UpdateSchema
from app.schemas.listing import ListQuery


class TooManyRowsError(InvalidInputError):
    code = "TOO_MANY_ROWS"
    text = "Too many: {count}. At most {most} are allowed in one request."

    def __init__(self, *, count: int, field: str) -> None:
        super().__init__(count=count, most=MAX_BULK)
        self.fields = {field: self.detail}


def _refuse_too_many(value: Any) -> Any:
    """Ahead of the look at each of them."""
    if isinstance(value, list) and len(value) > MAX_BULK:
        raise TooManyRowsError(count=len(value), field="ids")
    return value


Ids = Annotated[
    list[RecordId],
    Field(min_length=1, json_schema_extra={"maxItems": MAX_BULK, "uniqueItems": True}),
    BeforeValidator(_refuse_too_many),
]


class BulkChoice(InputSchema):
    """Either `ids` or `filter`."""

    filter: dict[str, Any] | None = Field(
        None,
        description="Or those that the list would show for these filters; not empty.",
        examples=[{"q": "lamp", "id": [1, 2]}],
    )
    ids: Ids | None = Field(None, validate_default=True, description="All of these records.")

    @field_validator("ids")
    @classmethod
    def _check_choice(cls, value: Any, info: ValidationInfo) -> Any:
        if "filter" in info.data and (value is None) == (info.data["filter"] is None):
            raise PydanticCustomError("choice", "Give either `ids` or `filter`.")
        return value


class BulkUpdate(BulkChoice):
    changes: UpdateSchema


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice as it was understood: without a query, the ids are meant."""

    ids: Sequence[int] = ()
    query: ListQuery | None = None
