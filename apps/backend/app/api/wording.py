"""What a validator refuses, in words for people instead of programmers."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, get_args

from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from app.core.text import LINE, LINES
from app.schemas.base import EMPTY
from app.schemas.user import USERNAME

_OBJECT: Final = "Must be a JSON object."
_WHOLE: Final = "Must be a whole number."
_NUMBER: Final = "Must be a number."
_BOOLEAN: Final = "Must be true or false."
_CHOICE: Final = "Must be {expected}."
MOMENT: Final = "Must be a date, or a date and time, such as 2026-01-31T09:00Z."

TEXTS: Final[Mapping[str, str]] = {
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "datetime_from_date_parsing": MOMENT,
    "datetime_object_invalid": MOMENT,
    "datetime_parsing": MOMENT,
    "datetime_type": MOMENT,
    "dict_type": _OBJECT,
    "enum": _CHOICE,
    "extra_forbidden": "Unknown field.",
    "finite_number": _NUMBER,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than": "Must be more than {gt}.",
    "greater_than_equal": "Must be at least {ge}.",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "This number is too large.",
    "int_type": _WHOLE,
    "less_than": "Must be less than {lt}.",
    "less_than_equal": "Must be at most {le}.",
    "list_type": "Must be a list.",
    "literal_error": _CHOICE,
    "missing": "This field is required.",
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
    "string_pattern_mismatch": "Must match the pattern {pattern}.",
    "string_too_long": "Must have at most {max_length} characters.",
    "string_too_short": "Must have at least {min_length} characters.",
    "string_type": "Must be text.",
    "string_unicode": "Contains characters that cannot be stored.",
    "too_long": "At most {max_length} are allowed.",
    "too_short": "At least {min_length} are required.",
}
# Where the general text would tell a person less than could be told.
PARTICULAR: Final[Mapping[tuple[str, Any], str]] = {
    ("string_pattern_mismatch", LINE): "Must be one line, without hidden control characters.",
    ("string_pattern_mismatch", LINES): "Must not hold hidden control characters.",
    ("string_pattern_mismatch", USERNAME): "Must be 3 to 50 letters, digits, dots, - and _.",
    ("string_too_short", 1): EMPTY,
    ("too_long", 1): "Must be given only once.",
    ("too_short", 1): "At least one is required.",
}
ANY_OTHER: Final = "This value is not valid."
_OF_THE_VALIDATOR: Final = frozenset(get_args(ErrorType)) - {"value_error"}


def text_of(error: ErrorDetails) -> str:
    """Say what is wrong. Errors of our own bring their text with them."""
    kind, values = error["type"], error.get("ctx") or {}
    if "UploadFile" in error["msg"]:
        return "Must be a file."
    if kind not in _OF_THE_VALIDATOR:
        text = error["msg"].removeprefix("Value error, ")
        return text if text.endswith((".", "?")) else f"{text}."
    if kind != "missing" and error.get("input", ...) is None:
        return EMPTY
    for value in values.values():
        if isinstance(value, str | int) and (kind, value) in PARTICULAR:
            return PARTICULAR[kind, value]
    readable = {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in values.items()
    }
    return TEXTS.get(kind, ANY_OTHER).format(**readable)
