from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.crud.quota import month_of
from app.models import UsageEvent, UsageMonth, User


def make_usage(
    db: Session, *, user: User, tokens: int = 30, at: datetime | None = None, **values: Any
) -> UsageEvent:
    """Make an entry of the ledger, and count it in the user's month, whatever their quota."""
    moment = at or utc_now()
    defaults = {"kind": "summary", "note": None, "recorded_by": user.id}
    event = UsageEvent(user_id=user.id, tokens=tokens, created_at=moment, **defaults | values)
    key = {"user_id": user.id, "month": month_of(moment)}
    counter = db.get(UsageMonth, key) or UsageMonth(**key, tokens=0)
    counter.tokens += tokens
    db.add_all([event, counter])
    db.commit()
    db.refresh(event)
    return event
