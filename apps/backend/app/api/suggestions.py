"""What a client may have meant by a name that is unknown here."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel

MOST_SUGGESTED: Final = 10  # In one answer: to look for one takes up to a millisecond.
# What other APIs call our parameters, in lower case, without punctuation.
_OTHER_NAMES: Final = {
    "skip": "offset page pagenumber start startindex",
    "limit": "perpage pagesize size count top take maxresults",
    "sort": "order orderby ordering sortby sorting",
    "q": "search query keyword term text",
    "after": "cursor startingafter pagetoken nexttoken",
    "deleted": "trashed includedeleted withdeleted",
    "since": "from startdate",
    "until": "to enddate",
}
_OURS: Final = {other: ours for ours, others in _OTHER_NAMES.items() for other in others.split()}
ALIKE: Final = 0.7  # Less, and `kind` would be taken for `id`.
_OPERATOR: Final = re.compile("_(ne|gte?|lte?|like|null)$")
_NEVER: Final = re.compile(r"^_|password|token$")  # A dialect's own; secrets.


def suggest(text: str, names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return a text for each name, with the known one that may be meant; never with a secret."""
    spelled = {_plain(one): one for one in known if not _NEVER.search(one)}
    texts = {}
    for place, name in enumerate(dict.fromkeys(names)):
        meant = _meant(name, spelled) if place < MOST_SUGGESTED else None
        texts[name] = f"{text} Did you mean {meant}?" if meant else text
    return texts


def _meant(name: str, spelled: dict[str, str]) -> str | None:
    plain = _plain(name)
    for one in (plain, _OURS.get(plain, plain)):
        if one in spelled:
            return spelled[one]
    has_operator = _OPERATOR.search(name) is not None  # `titel` is not `title_lt`.
    like = [one for one in spelled if has_operator or not _OPERATOR.search(spelled[one])]
    found = get_close_matches(plain, like, 1, ALIKE)
    return spelled[found[0]] if found else None


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def fields_of(annotation: Any) -> frozenset[str]:
    """Return the fields of a body, at whatever depth."""
    fields: frozenset[str] = frozenset().union(*map(fields_of, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner = (fields_of(one.annotation) for one in annotation.model_fields.values())
        return fields.union(annotation.model_fields, *inner)
    return fields
