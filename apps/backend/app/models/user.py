from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Index, Select, String, false, select, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.mixins import AuditedRecord

EMAIL_UNIQUE: Final = "uq_users_email"
USERNAME_UNIQUE: Final = "uq_users_username"

_present = text("deleted_at IS NULL")
_trashed = text("deleted_at IS NOT NULL")


class User(AuditedRecord):
    """E-mail and user name are stored in lower case, and unique among users not deleted."""

    __tablename__ = "users"
    __table_args__ = (
        Index(EMAIL_UNIQUE, "email", unique=True, postgresql_where=_present, sqlite_where=_present),
        Index(
            USERNAME_UNIQUE,
            "username",
            unique=True,
            postgresql_where=_present,
            sqlite_where=_present,
        ),
        Index("ix_users_created_at_id", "created_at", "id"),
        Index("ix_users_trash", "id", postgresql_where=_trashed, sqlite_where=_trashed),
        {"sqlite_autoincrement": True},  # An id is never given twice.
    )

    audited_as = "user"
    never_audited = frozenset({"hashed_password"})

    email: Mapped[str] = mapped_column(String(254))
    username: Mapped[str] = mapped_column(String(50))
    full_name: Mapped[str | None] = mapped_column(String(100))
    department: Mapped[str | None] = mapped_column(String(100), index=True)
    role: Mapped[str] = mapped_column(String(20), index=True)
    hashed_password: Mapped[str | None] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(default=True)
    is_verified: Mapped[bool] = mapped_column(default=False)
    must_change_password: Mapped[bool] = mapped_column(default=False, server_default=false())
    token_quota: Mapped[int | None] = mapped_column(BigInteger)
    last_login_at: Mapped[datetime | None]


def ids_of_department(department: str | None) -> Select[int]:
    """Select the ids of a department's users, deleted ones too: their items stay with it.

    It reads the bare table, which the criterion for deleted rows does not cover.
    """
    table = User.__table__
    return select(table.c.id).where(table.c.department == department)
