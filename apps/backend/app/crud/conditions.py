"""What a row must be like for a list to show it."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
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

Columns = Mapping[str, InstrumentedAttribute[Any]]

_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "like": lambda column, value: column.icontains(value, escape=ESCAPE),
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
    searched: tuple[InstrumentedAttribute[Any], ...],
) -> list[ColumnElement[bool]]:
    conditions = [_condition(columns[wanted.field], wanted) for wanted in shape.filters]
    if shape.is_long:
        conditions.append(literal_column("1 = 1", _NotKept()))
    if shape.deleted and issubclass(model, SoftDeleteMixin):
        conditions.append(model.deleted_at.is_not(None))
    if shape.has_q:
        matches = (column.icontains(bindparam("q"), escape=ESCAPE) for column in searched)
        conditions.append(or_(*matches))
    return conditions


def is_nullable(column: InstrumentedAttribute[Any]) -> bool:
    return bool(column.property.columns[0].nullable)


def _condition(column: InstrumentedAttribute[Any], wanted: Filter) -> ColumnElement[bool]:
    parameters: list[BindParameter[Any]] = [
        bindparam(name, type_=column.type) for name in wanted.values if name is not None
    ]
    if wanted.operator in {"eq", "ne", "within", "outside"}:
        among: ColumnElement[bool] = column.in_(parameters) if parameters else false()
        if wanted.operator in {"within", "outside"}:
            spans = zip(parameters[::2], parameters[1::2], strict=True)
            among = or_(false(), *(column.between(first, last) for first, last in spans))
        is_meant = wanted.operator in {"eq", "within"}
        if None in wanted.values:
            among = or_(among, column.is_(None))
        elif not is_meant and is_nullable(column):
            among = and_(among, column.is_not(None))  # So that "not x" keeps the empty ones.
        return among if is_meant else ~among
    compare = _COMPARISONS[wanted.operator]
    return or_(false(), *(compare(column, parameter) for parameter in parameters))
