"""Text as people compare it: what looks the same is the same, however it was typed."""

import re
import unicodedata
from typing import Final

# So that it fits into an entry of PostgreSQL's indexes (2,700 bytes), and into a cursor.
KEY_LENGTH: Final = 350
# Unicode's Default_Ignorable_Code_Point: nothing of them shows.
_IGNORABLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def fold(text: str) -> str:
    """Return the form that texts are compared in: NFKC, without regard to case, without what does
    not show, runs of blanks as one, none around it (Unicode's NFKC_Casefold).
    """
    if text.isascii():
        return " ".join(text.lower().split())
    for _ in range(2):  # What one step makes may be in reach of another.
        text = _IGNORABLE.sub("", unicodedata.normalize("NFKD", text).casefold())
    return " ".join(unicodedata.normalize("NFKC", text).split())


def text_key(text: str) -> str:
    """Return what texts are sorted by, and compared for equality: as much as an index holds."""
    return fold(text)[:KEY_LENGTH]
