from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.folding import folded, plain_text
from app.models.indexes import search_index, sort_index, trashed
from app.models.mixins import AuditedRecord
from app.models.user import User


class Item(AuditedRecord):
    __tablename__ = "items"
    __table_args__ = (
        sort_index("items", "title", by="title_folded"),
        sort_index("items", "status"),
        sort_index("items", "created_at"),
        sort_index("items", "updated_at"),
        # With the trash in it, for the foreign key; a department's items are counted in it alone.
        Index("ix_items_owner_id_id_deleted_at", "owner_id", "id", "deleted_at"),
        search_index("items", "title_folded", "description_folded"),
        Index("ix_items_trash", "id", postgresql_where=trashed, sqlite_where=trashed),
        {"sqlite_autoincrement": True},  # An id is never given twice.
    )

    audited_as = "item"

    title: Mapped[str] = mapped_column(String(200))
    title_folded: Mapped[str] = folded("title", server_default=text("''"))
    description: Mapped[str | None] = mapped_column(Text)
    description_folded: Mapped[str | None] = folded("description", length=None)
    status: Mapped[str] = mapped_column(plain_text(20))
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))

    owner: Mapped[User] = relationship(lazy="raise_on_sql")
