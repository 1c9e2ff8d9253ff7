"""What a list is asked for, taken apart: its shape, which a statement is made of, and its values.

Whoever pages, searches or filters by other values asks in the same shape, and the same statement
serves them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from app.core.text import fold, text_key
from app.schemas.listing import Filter, ListQuery, SortKey

DEEP: Final = 1000  # An offset that is worth a statement of its own kind.
LONG: Final = 32  # Values of filters, and words.
ESCAPE: Final = "/"  # Of what would be a wildcard in a text search.


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a filter has values, here stand the names of their parameters; None stays."""

    filters: tuple[Filter, ...]
    words: int  # Of the search.
    deleted: bool
    # The place of the page:
    sort: tuple[SortKey, ...] = ()
    limit: int = 0  # Where the shape is plain; else it is a value.
    skips: bool = False
    is_deep: bool = False
    is_after: bool = False

    @property
    def is_long(self) -> bool:
        """It is large, and hardly anybody asks for so many again."""
        return sum(len(wanted.values) for wanted in self.filters) + self.words > LONG

    @property
    def is_plain(self) -> bool:
        """No value is asked for, so that none decides how the rows are best found."""
        return not (self.filters or self.words or self.skips or self.is_after)

    def without_place(self) -> "Shape":
        return replace(self, sort=(), limit=0, skips=False, is_deep=False, is_after=False)


def take_apart(query: ListQuery, *, alike: frozenset[str]) -> tuple[Shape, dict[str, Any]]:
    """Return the shape and the values by the names of their parameters.

    Fold texts as what they are compared with is; for equality, only those of fields in `alike`.
    Of the others the folded form stands beside them, for the index.
    """
    values: dict[str, Any] = {}
    filters = []
    for place, wanted in enumerate(query.filters):
        is_exact = wanted.operator in {"eq", "ne"} and wanted.field not in alike
        given = [value if is_exact else _as_compared(wanted, value) for value in wanted.values]
        names: list[str | None] = []
        for value in _padded(given):
            name = None if value is None else f"filter{place}_{len(names)}"
            names.append(name)
            if name is not None:
                values[name] = value
                if is_exact and isinstance(value, str):
                    values[f"{name}_key"] = text_key(value)
        filters.append(replace(wanted, values=tuple(names)))
    given = list(dict.fromkeys(fold(query.q or "").split()))
    words = [_escaped(word) for word in _padded(given)]
    values |= {f"q{place}": word for place, word in enumerate(words)}
    skip = 0 if query.after is not None else query.skip
    if skip:
        values["skip"] = skip
    values["limit"] = query.limit + 1  # One more tells whether there are others.
    is_plain = not (filters or words or skip or query.after is not None)
    shape = Shape(
        filters=tuple(filters),
        words=len(words),
        deleted=query.deleted,
        sort=sort_keys(query.sort),
        limit=query.limit if is_plain else 0,
        skips=skip > 0,
        is_deep=skip >= DEEP,
        is_after=query.after is not None,
    )
    return shape, values


def sort_keys(sort: tuple[SortKey, ...]) -> tuple[SortKey, ...]:
    """End with the id, so that no two rows are equal: the page would not be stable."""
    if any(key.field == "id" for key in sort):
        return sort
    descending = bool(sort) and sort[-1].descending
    return (*sort, SortKey("id", descending))


def _as_compared(wanted: Filter, value: Any) -> Any:
    key = text_key(value) if isinstance(value, str) else value
    return _escaped(key) if wanted.operator == "like" else key


def _padded(given: Sequence[Any]) -> Iterator[Any]:
    """Repeat a value until there are a round number of them: a few shapes serve all numbers."""
    yield from given
    if given:
        for _ in range(len(given), 1 << (len(given) - 1).bit_length()):
            yield given[-1]


def _escaped(text: str) -> str:
    for special in (ESCAPE, "%", "_"):
        text = text.replace(special, ESCAPE + special)
    return text
