"""What all schemas share. Input is strict, output is plain."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

FIRST_YEAR: Final = 2
LAST_YEAR: Final = 9998
MAX_SAFE_INTEGER: Final = 2**53 - 1  # The largest that JavaScript clients read exactly.
MAX_BULK: Final = 1000  # Records in one request.


def _read_digits(value: Any) -> Any:
    """Refuse what else would pass for a whole number: 1.0, +1, 1_0, true."""
    is_text_of_digits = isinstance(value, str) and re.fullmatch(r"-?\d+", value, re.ASCII)
    if is_text_of_digits or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise PydanticCustomError("whole_number", "Must be a whole number.")


DIGITS: Final = BeforeValidator(_read_digits)  # For paths and queries; bodies are strict anyway.

RecordId = Annotated[int, Field(ge=1, le=MAX_SAFE_INTEGER)]


# Text of which something shows; the blanks around it are cut off.
VISIBLE: Final = r"\S"
Visible = Annotated[str, StringConstraints(strip_whitespace=True, pattern=VISIBLE)]


def refuse_unstorable_text(value: Any) -> Any:
    """Refuse NUL and lone surrogates, which PostgreSQL, UTF-8 or both cannot hold."""
    if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        raise PydanticCustomError("unstorable_text", "Text must not hold NUL or broken characters.")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_far_dates(value: datetime) -> datetime:
    """Keep clear of years that overflow when a driver moves them between zones; and of zones that
    PostgreSQL does not know, such as +20:00.
    """
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise PydanticCustomError("date_range", "The year must be between 2 and 9998.")
    return value.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_refuse_far_dates)]


class Schema(BaseModel):
    """Output: no constraints, so that a stricter rule tomorrow leaves old rows readable.

    Lists sort by the fields in `sortable`, which are those that an index serves; by every scalar
    one where it is None, as in tables that stay small.
    """

    sortable: ClassVar[frozenset[str] | None] = None

    model_config = ConfigDict(from_attributes=True, use_enum_values=True)


class InputSchema(BaseModel):
    """Input: unknown fields, loose types and text that no database can store are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _check_text(cls, value: Any) -> Any:
        return refuse_unstorable_text(value)


# The fields of public schemas that no request sets. Panels send them back with the record.
READ_ONLY: Final = frozenset({"id", "created_at", "updated_at", "last_login_at", "version"})


def _document_left_out(schema: dict[str, Any], model: type["UpdateSchema"]) -> None:
    """Say of a field that may be left out that it may be null only where it may."""
    for name, field in schema["properties"].items():
        field.pop("default", None)
        if name not in model.nullable and "anyOf" in field:
            (choice,) = (one for one in field.pop("anyOf") if one != {"type": "null"})
            field.update(choice)


class UpdateSchema(InputSchema):
    """A change: every field may be left out, and only those in `nullable` may be null."""

    model_config = ConfigDict(json_schema_extra=_document_left_out)

    nullable: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="before")
    @classmethod
    def _check_null(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name not in cls.nullable | READ_ONLY:
            raise PydanticCustomError("null_not_allowed", "This field cannot be null.")
        return value

    def changes(self) -> dict[str, Any]:
        """Return the fields that the client sent, read-only ones left aside."""
        return self.model_dump(exclude_unset=True)


class ImportSchema(InputSchema):
    """A row of a file, where other types may stand as text, and an empty cell is null.

    It is about the record that `id` names, which must be at this `version`; `required` is what a
    new one needs.
    """

    model_config = ConfigDict(strict=False)

    nullable: ClassVar[frozenset[str]] = frozenset()
    required: ClassVar[frozenset[str]] = frozenset()

    id: Annotated[RecordId, DIGITS] | None = Field(None, exclude=True)
    version: Annotated[RecordId, DIGITS] | None = Field(None, exclude=True)

    @field_validator("*", mode="before")
    @classmethod
    def _check_null(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name not in cls.nullable | {"id", "version"}:
            raise PydanticCustomError("null_not_allowed", "Must not be empty.")
        return value


# A read-only field of the public schema: panels send the whole record back.
ReadOnly = Annotated[Any, Field(exclude=True, description="Taken, and not acted on.")]
