from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.folding import folded, plain_text
from app.models.mixins import IdMixin


class OutgoingEmail(IdMixin, Base):
    """A letter, as a template and its parameters; a task renders and delivers it."""

    __tablename__ = "outgoing_emails"
    __table_args__ = (Index("ix_outgoing_emails_status_due_at", "status", "due_at"),)

    recipient: Mapped[str] = mapped_column(plain_text(254))
    template: Mapped[str] = mapped_column(plain_text(50))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    token_id: Mapped[int | None] = mapped_column(
        ForeignKey("one_time_tokens.id", ondelete="SET NULL"), index=True
    )
    status: Mapped[str] = mapped_column(plain_text(10), default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(String(500))
    last_error_folded: Mapped[str | None] = folded("last_error")
