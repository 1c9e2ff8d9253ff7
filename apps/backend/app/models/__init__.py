"""Every model, so that whoever imports one has the whole of the metadata."""

from app.db.base import Base
from app.models.item import Item
from app.models.user import User

__all__ = ["Base", "Item", "User"]
