from typing import Any, get_args

import pytest
from pydantic_core.core_schema import ErrorType

from app.api.wording import ANY_OTHER, PARTICULAR, TEXTS, text_of

KINDS = get_args(ErrorType)
OF_PROGRAMMERS = ("input", "string", "integer", "dict", "boolean", "instance", "none", "parse")


def error(kind: str, message: str = "Input should be a valid string", **context: Any) -> Any:
    return {"type": kind, "loc": ("body", "field"), "msg": message, "ctx": context}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"value_error"}))
def test_text_is_a_sentence_for_people(kind: str) -> None:
    text = text_of(error(kind, **values_of(kind)))

    assert text[0].isupper()
    assert text.endswith(".")
    assert not any(word in text.lower() for word in OF_PROGRAMMERS)


def values_of(kind: str) -> dict[str, Any]:
    """What a text of this kind names."""
    names = ("ge", "gt", "le", "lt", "expected", "max_length", "min_length", "pattern")
    return dict.fromkeys((name for name in names if f"{{{name}}}" in TEXTS.get(kind, "")), 7)


def test_texts_are_those_of_kinds_that_exist() -> None:
    assert {*TEXTS, *(kind for kind, _ in PARTICULAR)} <= set(KINDS)


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (error("string_too_short", min_length=8), "Must have at least 8 characters."),
        (error("string_too_short", min_length=1), "This field cannot be empty."),
        (error("too_long", max_length=1), "Must be given only once."),
        (error("too_short", min_length=1), "At least one is required."),
        (error("string_type") | {"input": None}, "This field cannot be empty."),
        (error("missing") | {"input": None}, "This field is required."),
        (error("enum", expected="'draft' or 'active'"), "Must be 'draft' or 'active'."),
        (error("is_instance_of"), ANY_OTHER),
        (error("value_error", "Value error, is missing"), "is missing."),
        (
            error("email", "This is not a valid e-mail address."),
            "This is not a valid e-mail address.",
        ),
        (error("unknown_parameter", "Unknown parameter."), "Unknown parameter."),
    ],
)
def test_text_tells_what_is_wrong(refusal: Any, text: str) -> None:
    assert text_of(refusal) == text
