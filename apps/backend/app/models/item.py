from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.mixins import AuditedRecord
from app.models.user import User

_trashed = text("deleted_at IS NOT NULL")


class Item(AuditedRecord):
    __tablename__ = "items"
    __table_args__ = (
        Index("ix_items_created_at_id", "created_at", "id"),
        Index("ix_items_trash", "id", postgresql_where=_trashed, sqlite_where=_trashed),
        {"sqlite_autoincrement": True},  # An id is never given twice.
    )

    audited_as = "item"

    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20), index=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)

    owner: Mapped[User] = relationship(lazy="raise_on_sql")
