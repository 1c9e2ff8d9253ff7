"""Which rows an actor sees: for each resource one condition per scope, written once.

The conditions speak of the actor by parameters, so that statements with them can be prepared.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, String, bindparam

from app.core.permissions import Principal, Scope
from app.db.base import Id
from app.db.prepared import with_values

ACTOR: Final = bindparam("actor_id", type_=Id)
ACTORS_DEPARTMENT: Final[BindParameter[str]] = bindparam("actor_department", type_=String)

RowScopes = Mapping[Scope, ColumnElement[bool]]


def values_of(actor: Principal) -> dict[str, Any]:
    return {"actor_id": actor.id, "actor_department": actor.department_key}


def seen_by(actor: Principal, scopes: RowScopes) -> ColumnElement[bool]:
    """Return the condition with the actor's values in it, for any statement."""
    return with_values(scopes[actor.scope], values_of(actor))
