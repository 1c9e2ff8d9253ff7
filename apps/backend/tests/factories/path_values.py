from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.models import User
from tests.factories.audit_event import make_login_event
from tests.factories.item import make_item
from tests.factories.letter import make_letter
from tests.factories.usage import make_usage


def make_path_values(db: Session, *, admin: User) -> dict[str, Any]:
    """Make a record for each parameter in the paths of reading operations."""
    return {
        "user_id": admin.id,
        "item_id": make_item(db, owner=admin).id,
        "event_id": make_usage(db, user=admin).id,
        "audit_event_id": make_login_event(db, user=admin, at=utc_now()).id,
        "letter_id": make_letter(db).id,
        "name": "clean-up",
    }
