"""What is refused in a request of many rows: every row is looked at, then all is told at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from app.core.errors import (
    ConflictError,
    DomainError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
)

# The families that may blame a row; any other ends the request as it is.
_REFUSALS: Final = (ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError)


class BulkRefusedError(InvalidInputError):
    code = "BULK_REFUSED"
    text = "The rows are refused for several reasons."


@dataclass(kw_only=True)
class Refusals:
    """Each is named by its place in the request: `items.3.email`, or `items.3` where no field is to
    blame. `lines` tells where in a file each row stands, as `Line 3`.
    """

    under: str
    shown: int | None = None
    lines: Mapping[int, str] = field(default_factory=dict)
    texts: dict[int, dict[str, str]] = field(default_factory=dict)  # Of each row, by path.
    reasons: dict[str, DomainError] = field(default_factory=dict)  # The first of each code.
    details: set[str] = field(default_factory=set)
    count: int = 0

    def __contains__(self, index: int) -> bool:
        return index in self.texts

    def __bool__(self) -> bool:
        return bool(self.texts)

    @contextmanager
    def of_row(self, index: int) -> Iterator[None]:
        """Note the refusal that is raised inside, and go on."""
        try:
            yield
        except _REFUSALS as error:
            self.add(index, error)

    @contextmanager
    def step(self) -> Iterator["Refusals"]:
        """Have what is done inside note its refusals, and raise them, apart from those that are
        noted here already; and go on.
        """
        own = Refusals(under=self.under, lines=self.lines)
        try:
            yield own
        except _REFUSALS:
            if not own:
                raise
        self.take(own)

    def add(self, index: int, error: DomainError) -> None:
        row = f"{self.under}.{index}"
        line = f"{self.lines[index]}: " if self.lines else ""
        blamed = {f"{row}.{name}": line + text for name, text in error.fields.items()}
        self.texts.setdefault(index, {}).update(blamed or {row: line + error.detail})
        self.count += len(blamed) or 1
        self.reasons.setdefault(error.code, error)
        self.details.add(error.detail)

    def take(self, later: "Refusals") -> None:
        """Note what was found later. Past the number shown, only that it was."""
        is_full = self.shown is not None and self.count >= self.shown
        self.texts |= {index: {} for index in later.texts} if is_full else later.texts
        self.reasons = later.reasons | self.reasons
        self.details |= later.details
        self.count += later.count

    @property
    def fields(self) -> dict[str, str]:
        texts = (pair for _, of_row in sorted(self.texts.items()) for pair in of_row.items())
        return dict(list(texts)[: self.shown])

    def raise_any(self) -> None:
        """Refuse the request if any of its rows is refused: as one row alone would be where all are
        refused for the same reason, else with BulkRefusedError.
        """
        if not self:
            return
        is_one_reason = len(self.reasons) == 1
        refusal = next(iter(self.reasons.values())) if is_one_reason else BulkRefusedError()
        refusal.detail = self.detail
        refusal.fields = self.fields
        raise refusal

    @property
    def detail(self) -> str:
        count = len(self.texts)
        text = f"{count} {'row is' if count == 1 else 'rows are'} refused, and nothing was changed."
        if len(self.details) == 1:
            text += f" {next(iter(self.details))}"
        if self.shown is not None and self.count > self.shown:
            text += f" The first {self.shown} of {self.count} errors are shown."
        return text
