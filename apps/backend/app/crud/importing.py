"""What the imports of all resources share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import (
    ChangedMeanwhileError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
)
from app.core.record_file import RecordFile
from app.core.text import fold
from app.crud import audit as crud_audit
from app.crud.bulk import differences
from app.crud.chosen import Chosen
from app.crud.refusals import Refusals
from app.models.mixins import AuditedRecord
from app.schemas.base import ImportSchema
from app.schemas.imports import ImportCounts, ImportPreview, ImportResult, OnConflict

MAX_TOLD_CHANGES: Final = 1000
MAX_TOLD_ERRORS: Final = 100

Values = Mapping[str, Any]  # As they stand in the file.
Record = TypeVar("Record", bound=AuditedRecord)
Row = TypeVar("Row", bound=ImportSchema)


class RowRefusedError(InvalidInputError):
    """A row cannot be read."""

    text = "{reason}"

    def __init__(self, reason: str, *columns: str) -> None:
        super().__init__(reason=reason, fields={name: reason for name in columns if name})


class RowOutdatedError(ChangedMeanwhileError):
    text = "The record has changed since this version. Export it again."
    field = "version"


@dataclass(frozen=True, slots=True)
class Chunk(Generic[Row, Record]):
    """Some rows of the file by their index, the locked records that are there of them, and what is
    wrong with rows. Those hold only what can be read of them.
    """

    rows: dict[int, Row]
    present: Mapping[int, Record]
    refusals: Refusals

    def to_create(self, missing: type[NotFoundError]) -> dict[int, Row]:
        """Return the rows of new records, which name none by an id, and lack nothing."""
        rows = self.without_refused(self.rows)
        new = {index: row for index, row in rows.items() if index not in self.present}
        for index, row in new.items():
            lacking = row.required - row.model_fields_set
            if row.id is not None:
                self.refusals.add(index, missing(fields={"id": missing.text}))
            elif lacking:
                self.refusals.add(index, RowRefusedError("This field is required.", *lacking))
        return self.without_refused(new)

    def to_update(
        self, importing: "Importing", *, exists: type[ConflictError], repeated: type[ConflictError]
    ) -> dict[int, Row]:
        """Return the rows that change their record. Each is changed once, at the row's version."""
        rows = self.without_refused(self.rows)
        there = {index: row for index, row in rows.items() if index in self.present}
        for index, row in there.items():
            record_id = self.present[index].id
            if record_id in importing.seen:
                self.refusals.add(index, repeated())
            elif importing.on_conflict is OnConflict.ERROR:
                self.refusals.add(index, exists())
            elif importing.on_conflict is OnConflict.UPDATE and row.version not in {
                None,
                self.present[index].version,
            }:
                self.refusals.add(index, RowOutdatedError())
            importing.seen.add(record_id)
        if importing.on_conflict is OnConflict.SKIP:
            importing.skipped += len(there)
            return {}
        return self.without_refused(there)

    def without_refused(self, rows: Mapping[int, Any]) -> dict[int, Any]:
        return {index: row for index, row in rows.items() if index not in self.refusals}

    def update(
        self, importing: "Importing", changes: Mapping[int, Values], write: Callable[..., None]
    ) -> None:
        """Have the records written that differ from what is given."""
        given = {self.present[index].id: values for index, values in changes.items()}
        places = {self.present[index].id: index for index in changes}
        records = [self.present[index] for index in changes]
        changed = [record for record in records if differences(record, given[record.id])]
        importing.skipped += len(records) - len(changed)
        with self.refusals.step() as refusals:
            write(chosen=Chosen(changed, refusals, places), changes=given)
            importing.updated += len(changed)


class Importing:
    """What has come of an import so far."""

    def __init__(self, file: RecordFile, on_conflict: OnConflict) -> None:
        self.file = file
        self.on_conflict = on_conflict
        self.created = self.updated = self.skipped = 0
        self.seen: set[int] = set()  # The ids of the records that rows were about.
        self.refusals = Refusals(under="rows", shown=MAX_TOLD_ERRORS)

    @property
    def ignored_columns(self) -> list[str]:
        return sorted(self.file.ignored)

    def result(self) -> ImportResult:
        """Raises what rows are refused for."""
        self.refusals.raise_any()
        return ImportResult.model_validate(self)

    def preview(self, db: Session) -> ImportPreview:
        refused = bool(self.refusals)
        if refused:
            self.created = self.updated = self.skipped = 0
        return ImportPreview(
            **ImportCounts.model_validate(self).model_dump(),
            refused=refused,
            detail=self.refusals.detail if refused else "",
            changes=crud_audit.get_changes_of_request(db, limit=MAX_TOLD_CHANGES),
            errors=self.refusals.fields,
        )


@dataclass(frozen=True)
class Importer(Generic[Row]):
    """How rows of a resource are written, and how the records are found and locked that they name.

    What can be written is, and of the rest is told; the caller undoes all of it or nothing.
    """

    schema: type[Row]
    find: Callable[..., Mapping[int, Any]]
    write: Callable[..., None]


def given_id(values: Values) -> int | None:
    """Read it as the schema does; 0, which nobody has, is one that it refuses."""
    text = fold(str(values.get("id") or ""))
    is_id = text.isascii() and text.isdecimal() and len(text) < 17
    return int(text) if is_id else 0 if text else None


def lock_records(
    db: Session,
    *,
    key: InstrumentedAttribute[Any],
    wanted: Mapping[int, Any],
    scope: ColumnElement[bool],
) -> dict[int, Any]:
    """Return the records with these keys by the index of the row, locked in the order of ids."""
    keys = {value for value in wanted.values() if value is not None}
    statement = select(key.class_).where(key.in_(keys), scope).order_by(key.class_.id)
    locked = db.scalars(statement.with_for_update(key_share=True)) if keys else ()
    records = {getattr(record, key.key): record for record in locked}
    return {index: records[value] for index, value in wanted.items() if value in records}
