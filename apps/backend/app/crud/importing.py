"""What the imports of all resources share."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sqlalchemy.orm import Session

from app.core.errors import InvalidInputError
from app.crud import audit as crud_audit
from app.crud.refusals import Refusals
from app.schemas.base import ImportSchema
from app.schemas.imports import ImportPreview, ImportResult

MAX_TOLD_CHANGES: Final = 1000
MAX_TOLD_ERRORS: Final = 100

Row = TypeVar("Row", bound=ImportSchema)


class RowRefusedError(InvalidInputError):
    """A row cannot be read."""

    text = "{reason}"


@dataclass(frozen=True, slots=True)
class Chunk(Generic[Row]):
    """Some rows of the file by their index: those that can be read, and what is wrong with the
    others.
    """

    rows: dict[int, Row]
    refusals: Refusals


class Importing:
    """What has come of an import so far."""

    def __init__(self) -> None:
        self.created = self.updated = self.skipped = 0
        self.refusals = Refusals(under="rows", shown=MAX_TOLD_ERRORS)

    def result(self) -> ImportResult:
        """Raises what rows are refused for."""
        self.refusals.raise_any()
        return ImportResult.model_validate(self)

    def preview(self, db: Session) -> ImportPreview:
        counts = ImportResult.model_validate(self).model_dump()
        changes = crud_audit.get_changes_of_request(db, limit=MAX_TOLD_CHANGES)
        return ImportPreview(**counts, changes=changes, errors=self.refusals.fields)
