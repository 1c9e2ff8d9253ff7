"""Departments: one for all its spellings. Others take the one that its oldest account has."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ScalarSelect, select
from sqlalchemy.orm import Session, aliased

from app.core.text import text_key
from app.models.user import User


def settle_departments(
    db: Session, rows: Iterable[dict[str, Any]], *, beside: Collection[int] = ()
) -> None:
    """Spell each department among the values as others than those `beside` do, else as the first
    of the rows does.
    """
    given = [row for row in rows if row.get("department") is not None]
    spellings: dict[Any, Any] = {
        text_key(row["department"]): row["department"] for row in reversed(given)
    }
    if not spellings:
        return
    key = User.department_folded
    there = select(key, spelling_of_department(beside=beside)).where(key.in_(spellings))
    found = db.execute(there.group_by(key))
    spellings |= {row[0]: row[1] for row in found if row[1] is not None}
    for row in given:
        row["department"] = spellings[text_key(row["department"])]


def spelling_of_department(*, beside: Collection[int] = ()) -> ScalarSelect[str | None]:
    """Select how the oldest account spells the department that a statement groups users by."""
    member = aliased(User)
    same = member.department_folded == User.department_folded
    members = select(member.department).where(same, member.id.not_in(beside))
    return members.order_by(member.id).limit(1).scalar_subquery()
