from datetime import date, datetime

from sqlalchemy import BigInteger, Date, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.folding import folded, plain_text
from app.models.mixins import IdMixin


class UsageEvent(IdMixin, Base):
    """Tokens that a user consumed. Rows are added, and never changed: the ledger."""

    __tablename__ = "usage_events"
    __table_args__ = (
        Index("ix_usage_events_user_id_created_at", "user_id", "created_at"),
        Index("ix_usage_events_created_at_id", "created_at", "id"),
        Index("ix_usage_events_tokens_id", "tokens", "id"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    tokens: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(plain_text(50))
    kind_folded: Mapped[str] = folded("kind", server_default=text("''"))
    note: Mapped[str | None] = mapped_column(String(500))
    note_folded: Mapped[str | None] = folded("note", length=None)
    created_at: Mapped[datetime]
    recorded_by: Mapped[int | None] = mapped_column(BigInteger)


class UsageMonth(Base):
    """What a user has consumed in a month (UTC), named by its first day: the quota's counter."""

    __tablename__ = "usage_months"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    tokens: Mapped[int] = mapped_column(BigInteger)
