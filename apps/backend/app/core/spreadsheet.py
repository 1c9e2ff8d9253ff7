"""Text on its way into a spreadsheet and back: no cell becomes a formula there, and none is lost.

Spreadsheets take what begins like a formula for one, also behind blanks. A quote in front makes it
text; taking one off again gives back what it was, whatever that was.
"""

import re
from typing import Final

# As `\s` has them. They are written out because PostgreSQL's `\s` depends on the locale.
BLANKS: Final = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# The hyphen comes first, so that brackets span nothing; at the end their full-width forms.
FORMULA_STARTS: Final = "-=+@\t\r\uff0d\uff1d\uff0b\uff20"

# PostgreSQL reads this one as Python does. It stores no NUL, which would be one more start.
UNSAFE: Final = f"^'*[{BLANKS}]*[{FORMULA_STARTS}]"
_UNSAFE: Final = re.compile(f"'*[{BLANKS}]*[{FORMULA_STARTS}\0]")


def make_harmless(text: str) -> str:
    return f"'{text}" if _UNSAFE.match(text) else text


def read_harmless(text: str) -> str:
    """Undo `make_harmless`."""
    return text[1:] if text.startswith("'") and _UNSAFE.match(text) else text
