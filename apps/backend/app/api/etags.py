"""The version of a record in HTTP: its entity tag (RFC 9110, sections 8.8.3 and 13.1).

A tag is `"7"`; what changes without a new version, such as a user's last login, stands beside it:
`"7-1764093600.123456"`. Who reads compares the whole of it, who writes the version alone.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Header, Response
from pydantic import WithJsonSchema

from app.crud.listing import Record

# A proxy that compresses makes tags weak (nginx), or adds what it has done (Apache, Caddy).
_WITH_VERSION: Final = re.compile(r'(?:W/)?"([1-9][0-9]{0,9})(-[^"]*)?"', re.ASCII)
_COMPRESSED: Final = re.compile(r'-(?:gzip|br|zstd|deflate)"$')
_ANY: Final = ["*"]
# A header may come in several lines; for who sends it, it is one text.
_ONE_TEXT: Final = WithJsonSchema({"type": "string", "examples": ['"7"']})

KnownTags = Annotated[
    list[str],
    Header(
        alias="If-None-Match",
        default_factory=list,
        description="Tags (`ETag`) that you have the record of: if it still is so, this is 304.",
    ),
    _ONE_TEXT,
]
_GivenTags = Annotated[
    list[str],
    Header(
        alias="If-Match",
        default_factory=list,
        description="The `ETag` that you have read: if the record has changed since, this is 412.",
    ),
    _ONE_TEXT,
]


def tag_of(version: int, *beside: datetime | None) -> str:
    parts = [str(version), *(f"{moment.timestamp():.6f}" if moment else "0" for moment in beside)]
    return f'"{"-".join(parts)}"'


def answer_record(
    record: Record, *, tag: str, known: Sequence[str], response: Response
) -> Record | Response:
    """Answer 304 where the client has the record as it is. Weak tags count as well."""
    tags = _split(known)
    if tags == _ANY or tag in {_COMPRESSED.sub('"', one.removeprefix("W/")) for one in tags}:
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return record


def read_expected_versions(given: _GivenTags) -> frozenset[int] | None:
    """Return the versions that the client may mean, or None where any will do. What is no tag of
    ours matches none.
    """
    tags = _split(given)
    if not given or tags == _ANY:
        return None
    return frozenset(int(found[1]) for tag in tags if (found := _WITH_VERSION.fullmatch(tag)))


ExpectedVersions = Annotated[frozenset[int] | None, Depends(read_expected_versions)]


def _split(lines: Sequence[str]) -> list[str]:
    """Our tags hold no comma; others match nothing anyway."""
    return [tag.strip() for line in lines for tag in line.split(",")]
