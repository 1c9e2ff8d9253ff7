"""What a row must be like for an actor to see it, and for a list to show it.

Of each resource there is one condition per scope. It speaks of the actor by parameters, so that
statements with it can be prepared.
"""

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
    or_,
)
from sqlalchemy.orm import InstrumentedAttribute

from app.core.permissions import Principal, Scope
from app.crud.list_shape import ESCAPE
from app.db.base import Id
from app.db.prepared import with_values
from app.schemas.listing import COMPARISONS, Filter

Column = InstrumentedAttribute[Any]

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    **COMPARISONS,
    "like": lambda column, value: column.contains(value, escape=ESCAPE),
}

ACTOR: Final = bindparam("actor_id", type_=Id)
ACTORS_DEPARTMENT: Final[BindParameter[str]] = bindparam("actor_department", type_=String)

RowScopes = Mapping[Scope, ColumnElement[bool]]


class NotKept(TypeDecorator[bool]):
    """Keeps a statement out of SQLAlchemy's cache: with a thousand values it takes 2 MiB."""

    impl = Boolean
    cache_ok = False


def values_of(actor: Principal) -> dict[str, Any]:
    return {"actor_id": actor.id, "actor_department": actor.department_key}


def seen_by(actor: Principal, scopes: RowScopes) -> ColumnElement[bool]:
    """Return the condition with the actor's values in it, for any statement."""
    return with_values(scopes[actor.scope], values_of(actor))


def is_nullable(column: InstrumentedAttribute[Any]) -> bool:
    return bool(column.property.columns[0].nullable)


def condition_of(column: Column, key: Column, wanted: Filter) -> ColumnElement[bool]:
    """Compare the column for equality, and else the `key`, which is what it is sorted by."""
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
