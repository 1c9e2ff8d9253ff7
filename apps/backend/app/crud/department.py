"""Departments: one for all its spellings. Others take the one that its oldest account has."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from app.core.text import text_key
from app.models.user import User


def settle_departments(
    db: Session, rows: Iterable[dict[str, Any]], *, beside: Collection[int] = ()
) -> None:
    """Spell each department among the values as others than those `beside` do, else as the first
    of the rows does.
    """
    given = [row for row in rows if row.get("department") is not None]
    spellings = {text_key(row["department"]): row["department"] for row in reversed(given)}
    if not spellings:
        return
    oldest = oldest_members(User.department_folded.in_(spellings), User.id.not_in(beside))
    there = select(User.department_folded, User.department).where(User.id.in_(oldest))
    spellings.update(db.execute(there).tuples())
    for row in given:
        row["department"] = spellings[text_key(row["department"])]


def oldest_members(*wanted: ColumnElement[bool]) -> Select[int]:
    """Select the id of each department's oldest account."""
    return select(func.min(User.id)).where(*wanted).group_by(User.department_folded)
