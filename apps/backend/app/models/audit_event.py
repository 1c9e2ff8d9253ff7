from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.folding import plain_text
from app.models.mixins import IdMixin


class AuditEvent(IdMixin, Base):
    """Who did what to which record. It refers to nothing, so that it outlives what it tells of."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_at_id", "at", "id"),
        Index("ix_audit_events_resource_type_resource_id", "resource_type", "resource_id"),
        Index("ix_audit_events_action_at", "action", "at"),
    )

    at: Mapped[datetime]
    actor_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    actor_email: Mapped[str | None] = mapped_column(plain_text(254))
    action: Mapped[str] = mapped_column(plain_text(50))
    resource_type: Mapped[str] = mapped_column(plain_text(50))
    resource_id: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int | None]  # Of the record, after the change.
    changes: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB, "postgresql"))
    request_id: Mapped[str | None] = mapped_column(plain_text(32), index=True)
    session_id: Mapped[int | None] = mapped_column(BigInteger)
    ip: Mapped[str | None] = mapped_column(plain_text(45))
