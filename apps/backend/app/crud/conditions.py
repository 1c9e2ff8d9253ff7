"""What a row must be like for a list to show it."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    String,
    TypeDecorator,
    and_,
    bindparam,
    false,
    literal_column,
    or_,
)
from sqlalchemy.orm import InstrumentedAttribute

from app.crud.list_shape import ESCAPE, Shape
from app.db.base import Base
from app.models.mixins import SoftDeleteMixin
from app.schemas.listing import Filter, Operator

Column = InstrumentedAttribute[Any]
Columns = Mapping[str, Column]

_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "like": lambda column, value: column.contains(value, escape=ESCAPE),
}


class _NotKept(TypeDecorator[bool]):
    """Keeps a statement out of SQLAlchemy's cache: with a thousand values it takes 2 MiB."""

    impl = Boolean
    cache_ok = False


def conditions_of(
    shape: Shape,
    *,
    model: type[Base],
    columns: Columns,
    keys: Columns,
    alike: frozenset[str],
    searched: tuple[str, ...],
) -> list[ColumnElement[bool]]:
    """`keys` are the columns that texts are compared by; those `alike` for equality too."""
    conditions = []
    for wanted in shape.filters:
        key = keys[wanted.field]
        column = key if wanted.field in alike else columns[wanted.field]
        conditions.append(_condition(column, key, wanted))
    if shape.is_long:
        conditions.append(literal_column("1 = 1", _NotKept()))
    if shape.deleted and issubclass(model, SoftDeleteMixin):
        conditions.append(model.deleted_at.is_not(None))
    for place in range(shape.words):
        word = bindparam(f"q{place}", type_=String)
        conditions.append(or_(*(keys[name].contains(word, escape=ESCAPE) for name in searched)))
    return conditions


def is_nullable(column: InstrumentedAttribute[Any]) -> bool:
    return bool(column.property.columns[0].nullable)


def _condition(column: Column, key: Column, wanted: Filter) -> ColumnElement[bool]:
    match wanted.operator:
        case "eq" if column is not key:  # It is the key that has an index.
            keys = [name and f"{name}_key" for name in wanted.values]
            return and_(_among(key, keys), _among(column, wanted.values))
        case "eq":
            return _among(column, wanted.values)
        case "within":
            return _within(column, wanted.values)
        case "ne":
            return _not(_among(column, wanted.values), column, wanted)
        case "outside":
            return _not(_within(column, wanted.values), column, wanted)
    compare = _COMPARISONS[wanted.operator]
    return or_(false(), *(compare(key, one) for one in _parameters(key, wanted.values)))


def _not(among: ColumnElement[bool], column: Column, wanted: Filter) -> ColumnElement[bool]:
    if None not in wanted.values and is_nullable(column):
        among = and_(among, column.is_not(None))  # So that "not x" keeps the empty ones.
    return ~among


def _within(column: Column, names: Sequence[str | None]) -> ColumnElement[bool]:
    given = _parameters(column, names)
    spans = zip(given[::2], given[1::2], strict=True)
    among = or_(false(), *(column.between(first, last) for first, last in spans))
    return or_(among, column.is_(None)) if None in names else among


def _among(column: Column, names: Sequence[str | None]) -> ColumnElement[bool]:
    given = _parameters(column, names)
    among: ColumnElement[bool] = column.in_(given) if given else false()
    return or_(among, column.is_(None)) if None in names else among


def _parameters(column: Column, names: Sequence[str | None]) -> list[BindParameter[Any]]:
    return [bindparam(name, type_=column.type) for name in names if name is not None]
