"""One record as its public schema shows it, by its id."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam
from sqlalchemy.orm import Session

from app.crud.listing import Listing, Record
from app.db.prepared import Prepared
from app.models.mixins import in_reach

STATEMENTS: Final = 100  # That are kept.


def get_record(
    db: Session,
    *,
    listing: Listing,
    record_id: int,
    scope: ColumnElement[bool],
    values: Mapping[str, Any] = MappingProxyType({}),
    in_trash: bool = False,
    is_locked: bool = False,
) -> Record | None:
    """Find the record in the `scope`, as for a page; `in_trash` too."""
    statement = _statement(listing, scope, in_trash=in_trash, is_locked=is_locked)
    return statement.first(db, {**values, "record_id": record_id})


@lru_cache(maxsize=STATEMENTS)
def _statement(
    listing: Listing, scope: ColumnElement[bool], *, in_trash: bool, is_locked: bool
) -> Prepared:
    wanted = listing.select.where(listing.columns["id"] == bindparam("record_id"), scope)
    if is_locked:
        wanted = wanted.with_for_update(key_share=True)
    return Prepared(in_reach(wanted, deleted=in_trash))
