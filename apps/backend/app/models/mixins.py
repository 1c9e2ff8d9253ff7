from datetime import datetime
from typing import Any, ClassVar, Final

from sqlalchemy import Select, event
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import (
    Mapped,
    ORMExecuteState,
    Session,
    declared_attr,
    mapped_column,
    with_loader_criteria,
)

from app.core.clock import utc_now
from app.db.base import Base, Id


class IdMixin:
    id: Mapped[int] = mapped_column(Id, primary_key=True)


def _same_as_created_at(context: DefaultExecutionContext) -> datetime:
    parameters: dict[str, Any] = context.get_current_parameters()  # type: ignore[no-untyped-call]  # So in SQLAlchemy.
    moment: datetime = parameters["created_at"]
    return moment


class SoftDeleteMixin:
    """A deleted row stays, and every select and ORM update passes it by.

    The execution option `include_deleted=True` brings it back into one statement; where only a part
    of a statement may see it, that part selects from the bare table.
    """

    deleted_at: Mapped[datetime | None] = mapped_column(default=None)


class AuditMixin:
    """Every change of a row is noted in the audit, field by field (`crud/audit.py`)."""

    audited_as: ClassVar[str]
    never_audited: ClassVar[frozenset[str]] = frozenset()  # Secrets.


class AuditedRecord(IdMixin, SoftDeleteMixin, AuditMixin, Base):
    """What users work with: deleted softly, audited field by field, and versioned. A change that is
    based on an older version is refused by the ORM.
    """

    __abstract__ = True

    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=_same_as_created_at, onupdate=utc_now)
    version: Mapped[int] = mapped_column(default=1)  # Counts the changes.

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}


_NOT_DELETED: Final = with_loader_criteria(
    SoftDeleteMixin, lambda model: model.deleted_at.is_(None), include_aliases=True
)


@event.listens_for(Session, "do_orm_execute")
def _pass_deleted_rows_by(state: ORMExecuteState) -> None:
    reads_or_changes = state.is_select or state.is_update or state.is_delete
    if (
        reads_or_changes
        and not state.is_column_load
        and not state.is_relationship_load
        and not state.execution_options.get("include_deleted", False)
    ):
        state.statement = state.statement.options(_NOT_DELETED)


def in_reach(statement: Select[Any], *, deleted: bool) -> Select[Any]:
    """For a statement that is kept: with deleted rows in it, or passing them by."""
    return with_deleted(statement) if deleted else without_deleted(statement)


def with_deleted(statement: Select[Any]) -> Select[Any]:
    return statement.execution_options(include_deleted=True)


def without_deleted(statement: Select[Any]) -> Select[Any]:
    """What a session does by itself, for a select that does not pass through one."""
    if statement.get_execution_options().get("include_deleted", False):
        return statement
    return with_deleted(statement.options(_NOT_DELETED))  # It is said in the statement itself.
