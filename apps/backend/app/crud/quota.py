"""What a user consumes in a month (UTC): one counter, held against the quota."""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import BigInteger, Select, cast, func, literal, or_, select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError, DomainError, TooManyRequestsError
from app.core.permissions import Principal
from app.crud import user as crud_user
from app.db.dialect import upsert
from app.models.usage import UsageMonth
from app.models.user import User


class ConsumerNotFoundError(ConflictError):
    code = "CONSUMER_NOT_FOUND"
    text = "There is no such user to consume tokens."
    field = "user_id"


class ConsumerInactiveError(ConflictError):
    code = "CONSUMER_INACTIVE"
    text = "This user is not active, and cannot consume tokens."
    field = "user_id"


class QuotaExceededError(TooManyRequestsError):
    code = "QUOTA_EXCEEDED"
    text = "Monthly quota exceeded: {remaining} of {quota} tokens left. Resets at {turn}."
    field = "tokens"

    def __init__(self, *, quota: int, used: int, now: datetime) -> None:
        turn = next_month(now)
        super().__init__(
            retry_after=math.ceil((turn - now).total_seconds()),
            quota=quota,
            remaining=tokens_remaining(quota, used),
            turn=f"{turn:%Y-%m-%dT%H:%M:%SZ}",
        )


@dataclass(frozen=True, slots=True)
class Standing:
    used: int
    quota: int | None


def month_of(moment: datetime) -> date:
    """Name the month by its first day."""
    return moment.date().replace(day=1)


def next_month(moment: datetime) -> datetime:
    in_next = moment.replace(day=1) + timedelta(days=32)
    return in_next.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def tokens_remaining(quota: int | None, used: int) -> int | None:
    """None is unlimited. What was used may be more than a quota that was lowered since."""
    return None if quota is None else max(quota - used, 0)


def tokens_used(month: date | None = None) -> Select[int]:
    """Select what the user of the statement around has used, in all or in one month."""
    used = select(cast(func.coalesce(func.sum(UsageMonth.tokens), 0), BigInteger))
    used = used.where(UsageMonth.user_id == User.id)
    return used if month is None else used.where(UsageMonth.month == month)


def consume(db: Session, *, user_id: int, tokens: int, now: datetime, actor: Principal) -> Standing:
    """Count the tokens, all of them or none.

    Raises ConsumerNotFoundError, ConsumerInactiveError, QuotaExceededError.
    """
    standing = _count(db, user_id=user_id, tokens=tokens, month=month_of(now), actor=actor)
    if standing is None:
        raise _refusal(db, user_id=user_id, now=now, actor=actor)
    return standing


def _count(
    db: Session, *, user_id: int, tokens: int, month: date, actor: Principal
) -> Standing | None:
    """Add to the month's counter, or do nothing where the quota forbids it.

    It is one statement, so that nothing comes between the look and the change: the second of two
    waits for the first, and goes on from what that has left.
    """
    quota = select(User.token_quota).where(User.id == user_id).scalar_subquery()
    consumer = select(User.id, literal(month), literal(tokens, BigInteger)).where(
        User.id == user_id,
        crud_user.USERS.visible_to(actor),
        User.is_active,
        User.deleted_at.is_(None),  # The criterion for deleted rows does not reach into an INSERT.
        or_(User.token_quota.is_(None), User.token_quota >= tokens),
    )
    first = upsert(db, UsageMonth).from_select(
        ["user_id", "month", "tokens"], consumer.with_for_update(read=True, key_share=True)
    )
    both = UsageMonth.tokens + first.excluded.tokens
    row = db.execute(
        first.on_conflict_do_update(
            index_elements=[UsageMonth.user_id, UsageMonth.month],
            set_={"tokens": both},
            where=or_(quota.is_(None), both <= quota),
        ).returning(UsageMonth.tokens, quota)
    ).first()
    return None if row is None else Standing(*row)


def _refusal(db: Session, *, user_id: int, now: datetime, actor: Principal) -> DomainError:
    """Find out why nothing was counted."""
    consumer = db.execute(
        select(
            User.is_active, User.token_quota, tokens_used(month_of(now)).scalar_subquery()
        ).where(User.id == user_id, crud_user.USERS.visible_to(actor))
    ).first()
    if consumer is None:
        return ConsumerNotFoundError()
    is_active, quota, used = consumer
    if not is_active:
        return ConsumerInactiveError()
    return QuotaExceededError(quota=quota or 0, used=used, now=now)  # None: lifted just now.
