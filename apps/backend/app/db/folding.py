"""Texts that are searched or sorted are stored twice: as they are shown, and folded beside that, as
they are compared (`core/text.py`). So both databases find and order alike, by an index.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, String, Update, event
from sqlalchemy.orm import MappedColumn, ORMExecuteState, Session, mapped_column

from app.core.text import KEY_LENGTH, fold
from app.db.base import Base

_SOURCE: Final = "folded_from"  # The key of a column's `info`: the text that it is folded from.


def plain_text(length: int | None = None) -> String:
    """Text that PostgreSQL compares as SQLite does, code point by code point, in any locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def folded(source: str, *, length: int | None = KEY_LENGTH, **options: Any) -> MappedColumn[Any]:
    """A column that holds the other one's text as it is compared. Statements that pass SQLAlchemy's
    defaults and the ORM by take their values from `with_folded`.
    """

    def fill(context: Any) -> str | None:
        return _fold(twin.column, context.get_current_parameters().get(source))

    options |= {"default": fill, "info": {_SOURCE: source}}
    twin: MappedColumn[Any] = mapped_column(plain_text(length), **options)
    return twin


@cache
def twins_of(model: Any) -> Mapping[str, Column[Any]]:
    """Return the folded columns by the names of those that they are folded from."""
    columns: Iterable[Column[Any]] = model.__table__.columns
    return {column.info[_SOURCE]: column for column in columns if _SOURCE in column.info}


def with_folded(model: type[Base], values: Mapping[str, Any]) -> dict[str, Any]:
    folded = dict(values)
    for name, twin in twins_of(model).items():
        if name in values:
            folded[twin.key] = _fold(twin, values[name])
    return folded


def _fold(twin: Column[Any], text: str | None) -> str | None:
    if text is None:
        return None
    length: int | None = twin.type.length  # type: ignore[attr-defined]  # It is a String.
    return fold(text)[:length]


@event.listens_for(Base, "before_update", propagate=True)
def _fold_changes(_mapper: object, _connection: object, row: Base) -> None:
    for name, twin in twins_of(type(row)).items():
        setattr(row, twin.name, _fold(twin, getattr(row, name)))


@event.listens_for(Session, "do_orm_execute")
def _fold_updates(state: ORMExecuteState) -> None:
    """A value that is SQL itself is left to whoever writes it."""
    model: Any = state.bind_mapper and state.bind_mapper.class_
    if isinstance(state.statement, Update) and model and twins_of(model):
        values = with_folded(model, state.statement.compile().params)
        names = {twin.name for twin in twins_of(model).values()} & values.keys()
        state.statement = state.statement.values({name: values[name] for name in names})
