"""Conditions with named parameters, for statements that are not prepared."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, bindparam
from sqlalchemy.sql.visitors import replacement_traverse


def with_values(condition: ColumnElement[bool], values: Mapping[str, Any]) -> ColumnElement[bool]:
    """Return the condition with the values in it, so that it fits into any statement."""

    def replace(element: Any, **_: Any) -> BindParameter[Any] | None:
        if not isinstance(element, BindParameter) or element.key not in values:
            return None
        return bindparam(None, values[element.key], type_=element.type, unique=True)

    bound: ColumnElement[bool] = replacement_traverse(condition, {}, replace)
    return bound
