"""What all schemas share. Input is strict, output is plain."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.clock import time_zone
from app.core.config import get_settings
from app.core.errors import InvalidInputError
from app.core.spreadsheet import plain_text
from app.core.text import KEY_LENGTH, fold, trim, visible

FIRST_YEAR: Final = 2
LAST_YEAR: Final = 9998
MAX_SAFE_INTEGER: Final = 2**53 - 1  # The largest that JavaScript clients read exactly.
MAX_BULK: Final = 1000  # Records in one request.
MAX_UNKNOWN: Final = 20  # Fields of an object.


def _read_digits(value: Any) -> Any:
    """Refuse what else would pass for a whole number: 1.0, +1, 1_0, true."""
    is_text_of_digits = isinstance(value, str) and re.fullmatch(r"-?\d+", value, re.ASCII)
    if is_text_of_digits or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise PydanticCustomError("whole_number", "Must be a whole number.")


DIGITS: Final = BeforeValidator(_read_digits)  # For paths and queries; bodies are strict anyway.

RecordId = Annotated[int, Field(ge=1, le=MAX_SAFE_INTEGER)]


def text_as(change: Callable[[str], str]) -> BeforeValidator:
    """Stands last in an annotation: it comes before the constraints."""
    return BeforeValidator(lambda value: change(value) if isinstance(value, str) else value)


TRIMMED: Final = text_as(trim)
CELL: Final = text_as(fold)  # Choices and figures in files.
EMPTY_IS_NULL: Final = WrapValidator(lambda value, read: None if value == "" else read(value))
INVISIBLE_IS_NULL: Final = WrapValidator(
    lambda value, read: None if isinstance(value, str) and not visible(value) else read(value)
)


def _refuse_long_key(value: str) -> str:
    """Some characters are compared as several: PostgreSQL's indexes could not hold all of them."""
    if not value.isascii() and len(fold(value)) > KEY_LENGTH:
        raise PydanticCustomError("long_key", "Too long: some characters count as several.")
    return value


COMPARED: Final = AfterValidator(_refuse_long_key)  # Sorted and searched by its folded form.

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def refuse_unstorable_text(value: Any) -> Any:
    """Refuse NUL and lone surrogates, which PostgreSQL, UTF-8 or both cannot hold."""
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise PydanticCustomError("unstorable_text", "Contains characters that cannot be stored.")
    return value


def default_zone() -> tzinfo:
    return time_zone(get_settings().DEFAULT_TIME_ZONE) or UTC  # The settings know that it is one.


def _in_utc(value: datetime) -> datetime:
    """Keep clear of years that overflow when a driver moves them between zones; and of zones that
    PostgreSQL does not know, such as +20:00.

    Without a zone it is DEFAULT_TIME_ZONE's: of an hour that comes twice the first, and in one that
    clocks skip, as if they had not been set forward.
    """
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise PydanticCustomError("date_range", "The year must be between 2 and 9998.")
    if value.tzinfo is None:
        value = value.replace(tzinfo=default_zone())
    return value.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_in_utc)]


class Schema(BaseModel):
    """Output: no constraints, so that a stricter rule tomorrow leaves old rows readable.

    Lists sort by every scalar field. Those in `indexed` are served by an index, however many rows
    there are.
    """

    indexed: ClassVar[frozenset[str]] = frozenset({"id"})
    # How a text is stored in a field, for what is compared with it.
    stored_as: ClassVar[Mapping[str, Callable[[str], str]]] = MappingProxyType({})

    model_config = ConfigDict(
        from_attributes=True,
        use_enum_values=True,
        json_schema_serialization_defaults_required=True,  # Answers are written whole.
    )


class InputSchema(BaseModel):
    """Input: unknown fields, loose types and text that no database can store are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    _check_text = field_validator("*", mode="before")(refuse_unstorable_text)

    @model_validator(mode="before")
    @classmethod
    def _check_size(cls, value: Any) -> Any:
        """Tell of unknown fields one by one, unless somebody sends thousands."""
        if isinstance(value, dict) and len(value) > len(cls.__pydantic_fields__) + MAX_UNKNOWN:
            raise PydanticCustomError("too_many_fields", "There are too many unknown fields.")
        return value


EMPTY: Final = "This field cannot be empty."
# The fields of public schemas that no request sets. Panels send them back with the record.
READ_ONLY: Final = frozenset({"id", "created_at", "updated_at", "last_login_at", "version"})
ReadOnly = Annotated[Any, Field(exclude=True, description="Taken, and not acted on.")]
SeenVersion = Annotated[
    Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)] | None,
    Field(exclude=True, description="412 where the record is of another version by now."),
]


class InvalidValuesError(InvalidInputError):
    text = "{reason}"

    def __init__(self, fields: dict[str, str]) -> None:
        name, text = next(iter(fields.items()))
        reason = f"{name}: {text}" if len(fields) == 1 else "Some fields are not valid."
        super().__init__(reason=reason, fields=fields)


class SentSchema(InputSchema):
    """Input about a record that may be there: only fields in `nullable` may be null.

    The value that a field has already is never refused, though it came by an older release's rules,
    and is no change. So what was sent is kept, and why it is refused, until the record is at hand.
    """

    nullable: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="wrap")
    @classmethod
    def _check_null(cls, value: Any, read: Callable[[Any], Any], info: ValidationInfo) -> Any:
        value = None if value is None else read(value)
        if value is None and info.field_name not in cls.nullable | READ_ONLY:
            raise PydanticCustomError("null_not_allowed", EMPTY)
        return value

    def keep_sent(self, sent: Mapping[str, Any], refused: Mapping[str, str]) -> None:
        """`refused` holds texts by field. Both stand beside the fields, as cached properties do:
        Pydantic's private attributes take as long as the validation.
        """
        self.__dict__.update(_sent=sent, _refused=refused)

    @property
    def is_empty(self) -> bool:
        return not self.__dict__.get("_sent", self.model_fields_set)

    def changes(self) -> dict[str, Any]:
        """Return the fields that the client sent, read-only ones left aside."""
        return self.model_dump(exclude_unset=True)

    def changes_of(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what differs from the record. Raises InvalidValuesError."""
        if refused := self.refused_for(record):
            raise InvalidValuesError(refused)
        return self.differences(record)

    def refused_for(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Return why fields are refused, but for those that the record has so already."""
        refused: Mapping[str, str] | None = self.__dict__.get("_refused")
        if not refused:
            return {}
        return {name: text for name, text in refused.items() if not self._is_in(record, name)}

    def differences(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what differs from the record, and can be read."""
        return {
            name: value
            for name, value in self.changes().items()
            if record.get(name) != value and not self._is_in(record, name)
        }

    def _is_in(self, record: Mapping[str, Any], name: str) -> bool:
        """Tell whether the record has just what was sent."""
        sent: Mapping[str, Any] = self.__dict__.get("_sent", {})
        is_same = name in sent and name in record and self._is_same(record[name], sent[name])
        return is_same and name in type(self).model_fields

    @staticmethod
    def _is_same(stored: Any, sent: Any) -> bool:
        return repr(stored) == repr(sent)  # So that true is not 1.


def _document_left_out(schema: dict[str, Any], model: type["UpdateSchema"]) -> None:
    """Say of a field that may be left out that it may be null only where it may."""
    for name, field in schema["properties"].items():
        field.pop("default", None)
        if name not in model.nullable | READ_ONLY and "anyOf" in field:
            (choice,) = (one for one in field.pop("anyOf") if one != {"type": "null"})
            field.update(choice)


class UpdateSchema(SentSchema):
    """A change: every field may be left out."""

    model_config = ConfigDict(json_schema_extra=_document_left_out)


class ImportSchema(SentSchema):
    """A row of a file, where other types may stand as text, and an empty cell is null.

    It is about the record that `id` names, which must be at this `version`; `required` is what a
    new one needs, and `key` the column that people name a record by.
    """

    model_config = ConfigDict(strict=False)

    key: ClassVar[str] = "id"
    required: ClassVar[frozenset[str]] = frozenset()

    id: Annotated[RecordId, DIGITS, CELL] | None = Field(None, exclude=True)
    version: Annotated[RecordId, DIGITS, CELL] | None = Field(None, exclude=True)

    @staticmethod
    def _is_same(stored: Any, sent: Any) -> bool:
        """As an export writes it. Null and empty text are one in most files."""
        return plain_text(stored) == plain_text(sent)
