"""Text on its way into a spreadsheet and back: no cell becomes a formula there, and none is lost.

Spreadsheets take what begins like a formula for one, also behind blanks. A quote in front makes it
text; taking one off again gives back what it was, whatever that was.
"""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_jsonable_python

# As `\s` has them. They are written out because PostgreSQL's `\s` depends on the locale.
BLANKS: Final = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# The hyphen comes first, so that brackets span nothing; at the end their full-width forms.
FORMULA_STARTS: Final = "-=+@\t\r\uff0d\uff1d\uff0b\uff20"

# A signed number, or a telephone number written with blanks: spreadsheets evaluate neither.
PLAIN: Final = (
    "[-+][.,]?[0-9]+([.,'\u2019 \xa0\u202f][0-9]+|[ \xa0\u202f][(][0-9]+[)])*([eE][-+]?[0-9]+)?%?"
)
# PostgreSQL reads this one as Python does. It stores no NUL, which would be one more start.
_GUARDED: Final = rf"^(?!{PLAIN}\Z)'*[{BLANKS}]*[{FORMULA_STARTS}{{}}]"
UNSAFE: Final = _GUARDED.format("")
_UNSAFE: Final = re.compile(_GUARDED.format("\0"))

_NEEDS_QUOTES: Final = re.compile('[,"\n\r]')


def make_harmless(text: str) -> str:
    return f"'{text}" if _UNSAFE.match(text) else text


def read_harmless(text: str) -> str:
    """Undo `make_harmless`, also as earlier releases did it, before numbers too."""
    return text[1:] if text.startswith("'") and _UNSAFE.match(text) else text


def csv_line(values: Iterable[Any]) -> bytes:
    """Write what COPY writes of values so rendered: RFC 4180, but for `\\n` at the end.

    The library's writer differs between versions in what it quotes.
    """
    return (",".join(_quoted(_cell(value)) for value in values) + "\n").encode()


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES.search(cell) else cell


def _cell(value: Any) -> str:
    return make_harmless(value) if isinstance(value, str) else plain_text(value)


def plain_text(value: Any) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case datetime():
            return str(to_jsonable_python(value))
        case _:
            return json_text(value)


def json_text(value: Any) -> str:
    """Write JSON as PostgreSQL writes a `jsonb`: short keys first."""
    return json.dumps(_as_jsonb(value), ensure_ascii=False)


def _as_jsonb(value: Any) -> Any:
    match value:
        case dict():
            keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
            return {key: _as_jsonb(value[key]) for key in keys}
        case list():
            return [_as_jsonb(one) for one in value]
        case _:
            return value
