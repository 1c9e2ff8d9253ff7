from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, BindParameter, Index, Select, String, false, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from app.db.folding import folded, plain_text
from app.models.indexes import (
    descending_index,
    present,
    search_index,
    sort_index,
    trashed,
)
from app.models.mixins import AuditedRecord

EMAIL_UNIQUE: Final = "uq_users_email"
USERNAME_UNIQUE: Final = "uq_users_username"


class User(AuditedRecord):
    """E-mail and user name are stored in lower case, and unique among users not deleted."""

    __tablename__ = "users"
    __table_args__ = (
        Index(EMAIL_UNIQUE, "email", unique=True, postgresql_where=present, sqlite_where=present),
        Index(
            USERNAME_UNIQUE,
            "username",
            unique=True,
            postgresql_where=present,
            sqlite_where=present,
        ),
        sort_index("users", "full_name", by="full_name_folded"),
        descending_index("users", "full_name", by="full_name_folded"),
        # With the trash in it: the items of deleted users stay with their department.
        Index("ix_users_department_id", "department_folded", "id"),
        descending_index("users", "department", by="department_folded"),
        sort_index("users", "token_quota"),
        descending_index("users", "token_quota"),
        sort_index("users", "last_login_at"),
        descending_index("users", "last_login_at"),
        sort_index("users", "role"),
        sort_index("users", "is_active"),
        sort_index("users", "is_verified"),
        sort_index("users", "created_at"),
        sort_index("users", "updated_at"),
        search_index("users", "email", "username", "full_name_folded", "department_folded"),
        Index("ix_users_trash", "id", postgresql_where=trashed, sqlite_where=trashed),
        {"sqlite_autoincrement": True},  # An id is never given twice.
    )

    audited_as = "user"
    never_audited = frozenset({"hashed_password"})

    email: Mapped[str] = mapped_column(plain_text(254))
    username: Mapped[str] = mapped_column(plain_text(50))
    full_name: Mapped[str | None] = mapped_column(String(100))
    full_name_folded: Mapped[str | None] = folded("full_name")
    department: Mapped[str | None] = mapped_column(plain_text(100))
    department_folded: Mapped[str | None] = folded("department")
    role: Mapped[str] = mapped_column(plain_text(20))
    hashed_password: Mapped[str | None] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(default=True)
    is_verified: Mapped[bool] = mapped_column(default=False)
    must_change_password: Mapped[bool] = mapped_column(default=False, server_default=false())
    token_quota: Mapped[int | None] = mapped_column(BigInteger)
    last_login_at: Mapped[datetime | None]


def ids_of_department(department: BindParameter[Any], *, member: BindParameter[int]) -> Select[int]:
    """Select the ids of a department's users, and of one who may be in none; deleted ones too:
    their items stay with the department.

    It reads the bare table, which the criterion for deleted rows does not cover.
    """
    table = User.__table__
    return select(table.c.id).where(
        or_(table.c.department_folded == department, table.c.id == member)
    )
