"""Text as people compare it: what looks the same is the same, however it was typed."""

import re
import unicodedata
from typing import Final

# So that it fits into an entry of PostgreSQL's indexes (2,700 bytes), and into a cursor.
KEY_LENGTH: Final = 350
_TURNING: Final = r"\u202a-\u202e\u2060-\u206f"  # The direction of the text that follows.
# Patterns of texts, as OpenAPI understands them. Joiners (U+200C, U+200D) pass: scripts and emoji
# need them; so do marks of direction (U+200E, U+200F), which turn nothing else.
LINES: Final = rf"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_TURNING}]*$"
LINE: Final = rf"^[^\x00-\x1f\x7f-\x9f\u200b\u2028\u2029\ufeff\ufff9-\ufffb{_TURNING}]*$"
BLANKS: Final = "".join(one for one in map(chr, range(0x3001)) if unicodedata.category(one) == "Zs")
# Unicode's Default_Ignorable_Code_Point, and what else has no ink.
_INVISIBLE: Final = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00016fe4"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def normalise(text: str) -> str:
    """Return the one form (NFKC) of all that look the same."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def visible(text: str) -> str:
    return _INVISIBLE.sub("", text).strip()


def trim(text: str) -> str:
    """Cut off the blanks around a text. One of which nothing shows is empty."""
    if text.isascii():
        return text.strip(" ")
    return text.strip(BLANKS) if visible(text) else ""


def fold(text: str) -> str:
    """Return the form that texts are compared in: NFKC, without regard to case, without what does
    not show, runs of blanks as one, none around it (Unicode's NFKC_Casefold).
    """
    if text.isascii():
        return " ".join(text.lower().split())
    for _ in range(2):  # What one step makes may be in reach of another.
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKD", text).casefold())
    return " ".join(unicodedata.normalize("NFKC", text).split())


def text_key(text: str) -> str:
    """Return what texts are sorted by, and compared for equality: as much as an index holds."""
    return fold(text)[:KEY_LENGTH]
