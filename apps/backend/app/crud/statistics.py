"""Figures over the rows that the caller may see, kept in the cache for a moment."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.cache import Cache
from app.core.clock import utc_now
from app.core.permissions import Principal, Role, Scope
from app.crud import item as crud_item
from app.crud import usage as crud_usage
from app.crud import user as crud_user
from app.crud.buckets import Buckets, buckets_between, number_of_bucket
from app.crud.department import spelling_of_department
from app.crud.listing import Record
from app.models.audit_event import AuditEvent
from app.models.item import Item
from app.models.usage import UsageEvent
from app.models.user import User
from app.schemas.item import ItemStatus
from app.schemas.statistics import (
    Bucket,
    DepartmentFigure,
    Interval,
    ItemFigures,
    Metric,
    Overview,
    Timeseries,
    UserFigures,
)


def get_overview(db: Session, *, actor: Principal, cache: Cache) -> Record:
    return cache.get_or_create(
        _key("overview", actor),
        lambda: Overview(
            counted_at=utc_now(), users=_count_users(db, actor), items=_count_items(db, actor)
        ).model_dump(mode="json"),
    )


def get_timeseries(
    db: Session,
    *,
    metric: Metric,
    interval: Interval,
    tz: str,
    since: date | None,
    until: date | None,
    actor: Principal,
    cache: Cache,
) -> Record:
    """Raises UnknownTimeZoneError, RangeReversedError, RangeTooLongError."""
    buckets = buckets_between(interval=interval, tz=tz, since=since, until=until)

    def count() -> dict[str, Any]:
        values = _count_by_bucket(db, metric, buckets, actor)
        return Timeseries(
            metric=metric,
            interval=interval,
            tz=tz,
            counted_at=utc_now(),
            total=values.total(),
            buckets=[
                Bucket(start=start, day=day, value=values[number])
                for number, (start, day) in enumerate(
                    zip(buckets.starts, buckets.days, strict=True), start=1
                )
            ],
        ).model_dump(mode="json")

    first, last = str(buckets.days[0]), str(buckets.days[-1])
    return cache.get_or_create(_key("timeseries", actor, metric, interval, tz, first, last), count)


def _key(figure: str, actor: Principal, *asked: str) -> str:
    """Name what an answer depends on: what is asked, and over whose rows."""
    whose = {Scope.ALL: None, Scope.DEPARTMENT: actor.department_key, Scope.OWN: actor.id}
    return json.dumps([figure, actor.scope, whose[actor.scope], *asked])


def _count_users(db: Session, actor: Principal) -> UserFigures:
    """Count each combination once, and add up in Python: one statement for every figure."""
    kinds = (User.is_active, User.is_verified, User.role, User.department_folded)
    counts = select(func.count(), *kinds, spelling_of_department())
    rows = db.execute(counts.where(crud_user.USERS.visible_to(actor)).group_by(*kinds)).all()

    names = {row[4]: row[5] for row in rows}
    active, verified, roles, departments = (_sums(rows, place) for place in range(1, 5))
    return UserFigures(
        total=active.total(),
        active=active[True],
        inactive=active[False],
        verified=verified[True],
        unverified=verified[False],
        by_role={role: roles[role] for role in Role},
        by_department=[
            DepartmentFigure(department=names[key], users=departments[key])
            for key in sorted(departments, key=lambda key: (key is None, key or ""))
        ],
    )


def _sums(rows: Iterable[Any], place: int) -> Counter[Any]:
    sums: Counter[Any] = Counter()
    for row in rows:
        sums[row[place]] += row[0]
    return sums


def _count_items(db: Session, actor: Principal) -> ItemFigures:
    rows = db.execute(
        select(func.count(), Item.status)
        .where(crud_item.ITEMS.visible_to(actor))
        .group_by(Item.status)
    ).all()
    statuses = _sums(rows, 1)
    return ItemFigures(
        total=statuses.total(), by_status={status: statuses[status] for status in ItemStatus}
    )


def _count_by_bucket(
    db: Session, metric: Metric, buckets: Buckets, actor: Principal
) -> Counter[int]:
    """Count in one statement; buckets in which nothing happened are not in it."""
    at, amount, scope = _source(metric, actor)
    number = number_of_bucket(db, at, buckets.starts).label("number")
    rows = db.execute(
        select(amount, number)
        .where(at >= buckets.starts[0], at < buckets.end, scope)
        .group_by("number")
    )
    return Counter({number: int(amount) for amount, number in rows})


def _source(
    metric: Metric, actor: Principal
) -> tuple[InstrumentedAttribute[Any], ColumnElement[Any], ColumnElement[bool]]:
    """Return when what is counted happened, how it is added up, and which of it the caller sees."""
    match metric:
        case Metric.SIGNUPS:
            return User.created_at, func.count(), crud_user.USERS.visible_to(actor)
        case Metric.ITEMS:
            return Item.created_at, func.count(), crud_item.ITEMS.visible_to(actor)
        case Metric.LOGINS:
            users = select(User.id).where(crud_user.USERS.visible_to(actor))
            by_them = and_(AuditEvent.action == "login", AuditEvent.resource_id.in_(users))
            return AuditEvent.at, func.count(), by_them
        case Metric.TOKENS:
            tokens = func.sum(UsageEvent.tokens)
            return UsageEvent.created_at, tokens, crud_usage.USAGE.visible_to(actor)
