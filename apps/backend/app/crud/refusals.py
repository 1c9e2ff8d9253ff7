"""What is refused in a request of many rows: every row is looked at, then all is told at once."""

from collections.abc import Iterator
from contextlib import contextmanager
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


class Refusals:
    """Each is named by its place in the request: `items.3.email`, or `items.3` where no field is to
    blame.
    """

    def __init__(self, *, under: str) -> None:
        self._under = under
        self._errors: dict[int, list[DomainError]] = {}

    def __contains__(self, index: int) -> bool:
        return index in self._errors

    @contextmanager
    def of_row(self, index: int) -> Iterator[None]:
        """Note the refusal that is raised inside, and go on."""
        try:
            yield
        except _REFUSALS as error:
            self.add(index, error)

    def add(self, index: int, error: DomainError) -> None:
        self._errors.setdefault(index, []).append(error)

    def raise_any(self) -> None:
        """Refuse the request if any of its rows is refused: as one row alone would be where all are
        refused for the same reason, else with BulkRefusedError.
        """
        if not self._errors:
            return
        errors = [one for of_row in self._errors.values() for one in of_row]
        details = {one.detail for one in errors}
        fields = self._fields()
        refusal = errors[0] if len({one.code for one in errors}) == 1 else BulkRefusedError()
        refusal.detail = " ".join([self._outcome(), *(details if len(details) == 1 else ())])
        refusal.fields = fields
        raise refusal

    def _outcome(self) -> str:
        count = len(self._errors)
        return f"{count} {'row is' if count == 1 else 'rows are'} refused, and nothing was changed."

    def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        for index, errors in sorted(self._errors.items()):
            row = f"{self._under}.{index}"
            for error in errors:
                blamed = {f"{row}.{name}": text for name, text in error.fields.items()}
                fields |= blamed or {row: error.detail}
        return fields
