"""The ledger of what users consume, and the figures that are drawn from it."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Final

from sqlalchemy import BigInteger, cast, func, select, true
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import NotFoundError, PermissionDeniedError
from app.core.permissions import Permission, Principal, Scope
from app.crud import user as crud_user
from app.crud.listing import Listing, Page, Record, get_page, public_columns
from app.crud.quota import consume, month_of, tokens_remaining, tokens_used
from app.crud.scope import ACTOR, ACTORS_DEPARTMENT, values_of
from app.models.item import Item
from app.models.usage import UsageEvent
from app.models.user import User, ids_of_department
from app.schemas.listing import ListQuery
from app.schemas.usage import UsageCreate, UsagePublic

MAX_KINDS: Final = 100  # Kinds are free text.


class UsageNotFoundError(NotFoundError):
    code = "USAGE_NOT_FOUND"
    text = "There is no such entry."


class ConsumerNotPermittedError(PermissionDeniedError):
    code = "CONSUMER_NOT_PERMITTED"
    text = "You may not record what others consume."
    field = "user_id"


USAGE: Final = Listing(
    model=UsageEvent,
    columns=public_columns(UsageEvent, UsagePublic),
    searched=("kind", "note"),
    scopes={
        Scope.ALL: true(),
        Scope.DEPARTMENT: UsageEvent.user_id.in_(
            ids_of_department(ACTORS_DEPARTMENT, member=ACTOR)
        ),
        Scope.OWN: UsageEvent.user_id == ACTOR,
    },
    missing=UsageNotFoundError,
    exported_as="usage",
)


def get_usage(db: Session, *, query: ListQuery, actor: Principal) -> Page:
    scope, values = USAGE.scopes[actor.scope], values_of(actor)
    return get_page(db, listing=USAGE, query=query, scope=scope, values=values)


def record_usage(db: Session, *, usage_in: UsageCreate, actor: Principal) -> Record:
    """Consume tokens, and return the entry with what remains.

    Raises ConsumerNotPermittedError, ConsumerNotFoundError, ConsumerInactiveError,
    QuotaExceededError.
    """
    user_id = usage_in.user_id or actor.id
    if user_id != actor.id and not actor.may(Permission.USAGE_WRITE_OTHERS):
        raise ConsumerNotPermittedError
    now = utc_now()
    standing = consume(db, user_id=user_id, tokens=usage_in.tokens, now=now, actor=actor)
    values = usage_in.model_dump() | {"user_id": user_id}
    event = UsageEvent(**values, created_at=now, recorded_by=actor.id)
    db.add(event)
    db.flush()
    return {
        **{name: getattr(event, name) for name in USAGE.columns},
        "monthly_tokens_used": standing.used,
        "tokens_remaining": tokens_remaining(standing.quota, standing.used),
    }


def get_usage_of(db: Session, *, actor: Principal) -> Record:
    """Return the actor's own figures."""
    now = utc_now()
    quota = actor.profile["token_quota"]
    sums = (tokens_used(), tokens_used(month_of(now)))
    own = select(*(one.scalar_subquery() for one in sums)).where(User.id == actor.id)
    total, monthly = db.execute(own).one()
    return {
        "month": month_of(now),
        "token_quota": quota,
        "total_tokens_used": total,
        "monthly_tokens_used": monthly,
        "tokens_remaining": tokens_remaining(quota, monthly),
        "monthly_by_kind": _kinds_of_month(db, user_id=actor.id, now=now),
    }


def _kinds_of_month(db: Session, *, user_id: int, now: datetime) -> Sequence[Record]:
    began_at = datetime.combine(month_of(now), time(), UTC)
    tokens = cast(func.sum(UsageEvent.tokens), BigInteger).label("tokens")
    return (
        db.execute(
            select(UsageEvent.kind, tokens)
            .where(UsageEvent.user_id == user_id, UsageEvent.created_at >= began_at)
            .group_by(UsageEvent.kind)
            .order_by(tokens.desc(), UsageEvent.kind)
            .limit(MAX_KINDS)
        )
        .mappings()
        .all()
    )


def get_user_stats(db: Session, *, user_id: int, actor: Principal) -> Record | None:
    """Return a visible user's record with the figures of items and usage, in one statement."""
    items = select(func.count()).select_from(Item).where(Item.owner_id == User.id)
    figures = {
        "total_tokens_used": tokens_used(),
        "monthly_tokens_used": tokens_used(month_of(utc_now())),
        "item_count": items,
    }
    row = (
        db.execute(
            select(
                *crud_user.USERS.columns.values(),
                *(figure.scalar_subquery().label(name) for name, figure in figures.items()),
            ).where(User.id == user_id, crud_user.USERS.visible_to(actor))
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    remaining = tokens_remaining(row["token_quota"], row["monthly_tokens_used"])
    return {**row, "tokens_remaining": remaining}
