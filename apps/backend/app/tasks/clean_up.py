import time
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy.orm import Session

from app.crud import audit as crud_audit
from app.crud import idempotency_key as crud_idempotency_key
from app.crud import letter as crud_letter
from app.crud import one_time_token as crud_one_time_token
from app.crud import session as crud_session
from app.crud.batch import BATCH
from app.crud.job import Outcome
from app.db.session import unit_of_work

# Whatever else is due waits for its turn, letters and a shutdown among it.
TURN_SECONDS: Final = 3.0


def clean_up() -> Outcome:
    """Delete sessions, one-time tokens and idempotency keys whose time is up, and letters sent long
    ago.
    """
    return _delete_in_batches(
        {
            "refresh tokens": crud_session.delete_expired_refresh_tokens,
            "sessions": crud_session.delete_expired_sessions,
            "one-time tokens": crud_one_time_token.delete_expired_tokens,
            "idempotency keys": crud_idempotency_key.delete_old_keys,
            "letters": crud_letter.delete_old_letters,
        }
    )


def apply_retention() -> Outcome:
    """Delete audit events older than AUDIT_RETENTION_DAYS."""
    return _delete_in_batches({"audit events": crud_audit.delete_old_events})


def _delete_in_batches(kinds: Mapping[str, Callable[[Session], int]]) -> Outcome:
    """Delete kind after kind for a few seconds, each batch in a transaction of its own."""
    ends_at = time.monotonic() + TURN_SECONDS
    counts = dict.fromkeys(kinds, 0)
    is_complete = True
    for kind, delete_batch in kinds.items():
        deleted = BATCH
        while deleted == BATCH and (is_complete := time.monotonic() < ends_at):
            with unit_of_work() as db:
                deleted = delete_batch(db)
            counts[kind] += deleted
    text = ", ".join(f"{count} {kind}" for kind, count in counts.items()) + " deleted"
    return Outcome(text if is_complete else f"{text}; more is left", is_complete=is_complete)
