import time
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy.orm import Session

from app.crud.batch import BATCH
from app.crud.job import Outcome
from app.db.session import unit_of_work

# Whatever else is due waits for its turn, letters and a shutdown among it.
TURN_SECONDS: Final = 3.0


def delete_in_batches(kinds: Mapping[str, Callable[[Session], int]]) -> Outcome:
    """Delete kind after kind for a few seconds, each batch in a transaction of its own."""
    ends_at = time.monotonic() + TURN_SECONDS
    counts = dict.fromkeys(kinds, 0)
    for kind, delete_batch in kinds.items():
        deleted = BATCH
        while deleted == BATCH and time.monotonic() < ends_at:
            with unit_of_work() as db:
                deleted = delete_batch(db)
            counts[kind] += deleted
        if deleted == BATCH:
            return Outcome(f"{_summary(counts)}; more is left", is_complete=False)
    return Outcome(_summary(counts))


def _summary(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) + " deleted"
