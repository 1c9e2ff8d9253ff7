"""What all schemas share. Input is strict, output is plain."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic_core import PydanticCustomError

from app.core.errors import InvalidInputError
from app.core.text import NOT_IN_LINE, NOT_IN_TEXT, fold, visible

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


def _read_line(value: Any) -> Any:
    """Trim a text of one line. One of which nothing shows is empty."""
    if not isinstance(value, str):
        return value
    if NOT_IN_LINE.search(value):
        raise PydanticCustomError(
            "not_in_line",
            "Must not hold control characters, line breaks or hidden formatting characters.",
        )
    return value.strip() if visible(value) else ""


def _read_lines(value: Any) -> Any:
    """Leave a text of several lines as it is, unless nothing of it shows: then it is empty."""
    if not isinstance(value, str):
        return value
    if NOT_IN_TEXT.search(value):
        raise PydanticCustomError(
            "not_in_text", "Must not hold control characters or direction overrides."
        )
    return value if visible(value) else ""


def _null_if_empty(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return None if value == "" else handler(value)


# Stand last in an annotation: they come before its constraints.
LINE: Final = BeforeValidator(_read_line)
LINES: Final = BeforeValidator(_read_lines)
EMPTY_IS_NULL: Final = WrapValidator(_null_if_empty)
# In files, choices and figures are read without regard to case and to blanks around them.
CELL: Final = BeforeValidator(lambda value: fold(value) if isinstance(value, str) else value)


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
REFUSED: Final = object()  # Stands for a value that was refused already.


class InvalidValuesError(InvalidInputError):
    text = "{reason}"

    def __init__(self, fields: dict[str, str]) -> None:
        first = next(f"{name}: {text}" for name, text in fields.items())
        reason = first if len(fields) == 1 else "Some fields are not valid."
        super().__init__(reason=reason, fields=fields)


class SentSchema(InputSchema):
    """Input about a record that may be there. The value that a field has already is never refused,
    though it came by an older release's rules, and is no change: so what was sent is kept as it
    came, and why it is refused, until the record is at hand. Only those fields in `nullable` may
    be null.
    """

    nullable: ClassVar[frozenset[str]] = frozenset()
    null_text: ClassVar[str]
    key: ClassVar[str | None] = None  # The field that names the record.

    _sent: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _refused: Mapping[str, str] = PrivateAttr(default_factory=dict)  # Texts, by field.

    @field_validator("*", mode="wrap")
    @classmethod
    def _check_null(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        if value is REFUSED:
            return None
        if value is None and info.field_name not in cls.nullable | READ_ONLY:
            raise PydanticCustomError("null_not_allowed", cls.null_text)
        return handler(value)

    def keep_sent(self, sent: Mapping[str, Any], refused: Mapping[str, str]) -> None:
        self._sent, self._refused = sent, refused
        self.model_fields_set.difference_update(refused)

    def changes(self) -> dict[str, Any]:
        """Return the fields that the client sent, read-only ones left aside."""
        return self.model_dump(exclude_unset=True)

    def refuse_invalid(self, record: object = None) -> None:
        """Raises InvalidValuesError, without a record for all that is not valid."""
        refused = {
            name: text
            for name, text in self._refused.items()
            if record is None or self.present_value(record, name) != self._sent[name]
        }
        if refused:
            raise InvalidValuesError(refused)

    def changes_of(self, record: object) -> dict[str, Any]:
        """Return what differs from the record. Raises InvalidValuesError."""
        self.refuse_invalid(record)
        return {
            name: value
            for name, value in self.changes().items()
            if self.present_value(record, name) not in (value, self._sent.get(name, value))
        }

    @staticmethod
    def present_value(record: object, name: str) -> Any:
        return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)


def _document_left_out(schema: dict[str, Any], model: type["UpdateSchema"]) -> None:
    """Say of a field that may be left out that it may be null only where it may."""
    for name, field in schema["properties"].items():
        field.pop("default", None)
        if name not in model.nullable and "anyOf" in field:
            (choice,) = (one for one in field.pop("anyOf") if one != {"type": "null"})
            field.update(choice)


class UpdateSchema(SentSchema):
    """A change: every field may be left out."""

    model_config = ConfigDict(json_schema_extra=_document_left_out)

    null_text = "This field cannot be null."


class ImportSchema(SentSchema):
    """A row of a file, where other types may stand as text, and an empty cell is null."""

    model_config = ConfigDict(strict=False)

    null_text = "Must not be empty."

    @staticmethod
    def present_value(record: object, name: str) -> Any:
        """Take an empty text for null: a file cannot tell them apart."""
        value = SentSchema.present_value(record, name)
        return None if value == "" else value


# A read-only field of the public schema: panels send the whole record back.
ReadOnly = Annotated[Any, Field(exclude=True, description="Taken, and not acted on.")]
