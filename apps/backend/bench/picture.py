"""The picture of docs/performance.md: a bar for each endpoint, cut by whose work it is."""

from collections.abc import Iterator, Mapping
from typing import Final
from xml.sax.saxutils import escape

# From the socket inwards: what a part is, and its colour.
PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "server": ("server: socket, HTTP", "#4e79a7"),
    "middleware": ("middleware", "#76b7b2"),
    "routing": ("routing, reading the body", "#a0cbe8"),
    "thread": ("to a thread and back", "#9c755f"),
    "dependencies": ("dependencies, checking input", "#f28e2b"),
    "authentication": ("token, caller, limits", "#edc948"),
    "crud": ("rules, building statements", "#b07aa1"),
    "SQLAlchemy": ("SQLAlchemy", "#e15759"),
    "driver": ("driver (psycopg2)", "#8cd17d"),
    "answer": ("checking and writing the answer", "#ff9da7"),
    "PostgreSQL": ("PostgreSQL", "#59a14f"),
}
WIDTH, LEFT, RIGHT = 1000, 90, 80
BAR, GAP, TOP = 30, 16, 90
KEYS_PER_LINE, KEY_HEIGHT = 4, 22
NARROWEST: Final = 26  # That a number fits into.


def draw(endpoints: Mapping[str, Mapping[str, float]]) -> str:
    """Return an SVG; the figures are microseconds."""
    longest = max(sum(parts.values()) for parts in endpoints.values())
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + len(endpoints) * (BAR + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        "<style>text { font: 12px sans-serif }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        *_keys(),
    ]
    for number, (name, parts) in enumerate(endpoints.items()):
        lines += _bar(name, parts, TOP + number * (BAR + GAP), scale)
    return "\n".join([*lines, "</svg>\n"])


def lines_of(endpoints: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Return the same as lines of a table, and a last one of totals."""
    lines = [
        [text, *(f"{parts.get(part, 0):.0f}" for parts in endpoints.values())]
        for part, (text, _) in PARTS.items()
    ]
    return [*lines, ["all", *(f"{sum(parts.values()):.0f}" for parts in endpoints.values())]]


def _keys() -> Iterator[str]:
    for number, (text, colour) in enumerate(PARTS.values()):
        x = 10 + number % KEYS_PER_LINE * (WIDTH - 20) // KEYS_PER_LINE
        y = 10 + number // KEYS_PER_LINE * KEY_HEIGHT
        yield f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="{y + 10}">{escape(text)}</text>'


def _bar(name: str, parts: Mapping[str, float], y: int, scale: float) -> Iterator[str]:
    middle = y + BAR // 2 + 4
    yield f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>'
    x = float(LEFT)
    for part, (text, colour) in PARTS.items():
        microseconds = parts.get(part, 0)
        width = microseconds * scale
        yield (
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}">'
            f"<title>{escape(text)}: {microseconds:.0f} µs</title></rect>"
        )
        if width >= NARROWEST:
            yield (
                f'<text x="{x + width / 2:.1f}" y="{middle}" text-anchor="middle">'
                f"{microseconds:.0f}</text>"
            )
        x += width
    yield f'<text x="{x + 6:.1f}" y="{middle}">{sum(parts.values()):.0f} µs</text>'
