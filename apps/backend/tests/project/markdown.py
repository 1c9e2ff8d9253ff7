"""Just enough Markdown to compare the documents with the code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[4]
BACKEND: Final = TOP / "apps" / "backend"
DOCS: Final = TOP / "docs"

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IN_BACKTICKS = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of code, and the line of text that announces it."""

    language: str
    announcement: str
    text: str


def documents() -> list[Path]:
    return sorted([*TOP.glob("*.md"), *DOCS.rglob("*.md")])


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def code_blocks(text: str) -> Iterator[Block]:
    for found in _FENCED.finditer(text):
        announcement = text[: found.start()].rstrip().rpartition("\n")[2]
        yield Block(language=found[1], announcement=announcement, text=found[2])


def prose(text: str) -> str:
    return _FENCED.sub("", text)


def in_backticks(text: str) -> list[str]:
    return _IN_BACKTICKS.findall(prose(text))


def links(text: str) -> list[str]:
    return _LINK.findall(_IN_BACKTICKS.sub("", prose(text)))


def anchors(text: str) -> set[str]:
    """Name the headings as they are named in links to them."""
    headings = _HEADING.findall(prose(text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(text: str, *columns: str) -> list[list[str]]:
    """Return the rows of the one table that has these columns."""
    lines = iter(text.splitlines())
    header = f"| {' | '.join(columns)} |"
    rows: list[list[str]] = []
    for line in lines:
        if line == header:
            next(lines)  # The rule below the header.
            for row in lines:
                if not row.startswith("|"):
                    return rows
                rows.append([cell.strip() for cell in row.strip("|").split("|")])
            return rows
    raise AssertionError(f"no table has the columns {columns}")
