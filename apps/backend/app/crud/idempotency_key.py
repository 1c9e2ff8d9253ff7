"""Keys of requests that may arrive twice. A key is claimed in the transaction of the deed, so it is
stored with it or not at all.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import InvalidInputError
from app.core.security import is_signed, sign
from app.crud.batch import delete_batch
from app.db.dialect import upsert
from app.models.idempotency_key import IdempotencyKey

KEPT: Final = timedelta(hours=24)
PURPOSE: Final = "idempotency"


class IdempotencyKeyReusedError(InvalidInputError):
    code = "IDEMPOTENCY_KEY_REUSED"
    text = "This key was sent with another request before. Send a new one with each."
    field = "Idempotency-Key"


def claim_key(
    db: Session, *, user_id: int, key: str, request_digest: bytes
) -> IdempotencyKey | None:
    """Take the key, or return what the same request was answered before.

    Whoever sends the key at the same time waits here until the first has ended, well or not.
    Raises IdempotencyKeyReusedError.
    """
    now = utc_now()
    fingerprint = sign(request_digest, purpose=PURPOSE).hex()
    mine = {"fingerprint": fingerprint, "created_at": now}
    claimed = db.scalar(
        upsert(db, IdempotencyKey)
        .values(user_id=user_id, key=key, **mine)
        .on_conflict_do_update(
            index_elements=[IdempotencyKey.user_id, IdempotencyKey.key],
            set_=mine,
            where=IdempotencyKey.created_at <= now - KEPT,
        )
        .returning(IdempotencyKey.id)
    )
    if claimed is not None:
        return None
    return get_known(db, user_id, key, request_digest=request_digest)


def get_known(
    db: Session, user_id: int, key: str, *, request_digest: bytes
) -> IdempotencyKey | None:
    """Return what the same request was answered before. Raises IdempotencyKeyReusedError."""
    stored = db.scalars(
        select(IdempotencyKey).where(
            IdempotencyKey.user_id == user_id,
            IdempotencyKey.key == key,
            IdempotencyKey.created_at > utc_now() - KEPT,
        )
    ).one_or_none()
    if stored and not is_signed(request_digest, bytes.fromhex(stored.fingerprint), purpose=PURPOSE):
        raise IdempotencyKeyReusedError
    return stored


def store_answer(
    db: Session, *, user_id: int, key: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    db.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
        .values(status=status, headers=dict(headers), body=body)
        .execution_options(synchronize_session=False)
    )


def delete_old_keys(db: Session) -> int:
    """Delete some of the keys that are no longer answered by."""
    old = select(IdempotencyKey.id).where(IdempotencyKey.created_at <= utc_now() - KEPT)
    return delete_batch(db, model=IdempotencyKey, chosen=old.order_by(IdempotencyKey.created_at))
