from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.models.mixins import IdMixin


class LoginSession(IdMixin, Base):
    """One login: a device that is signed in until it leaves, idles too long, or its time is up."""

    __tablename__ = "sessions"
    __table_args__ = ({"sqlite_autoincrement": True},)  # An id is never given twice.

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    device: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(45))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    idle_expires_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]


class RefreshToken(IdMixin, Base):
    """A session's refresh tokens, spent ones too: using one of those again ends the session."""

    __tablename__ = "refresh_tokens"

    session_id: Mapped[int] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    spent_at: Mapped[datetime | None]
    key_id: Mapped[str | None] = mapped_column(String(16))  # Whose hash the successor is.
