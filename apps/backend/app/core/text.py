"""Text as people compare it: what looks the same is the same, however it was typed."""

import unicodedata


def fold(text: str) -> str:
    """Return the form that texts are compared in: NFKC, without regard to case, runs of blanks as
    one, none around it (Unicode's caseless compatibility match, D146).
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.lower().split())
