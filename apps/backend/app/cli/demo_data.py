"""An office made up: who works there, what they look after, and what they consume.

Everything comes in the order of time, so that ids rise with it as they do in a database that grew.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import product
from random import Random
from typing import Final

from sqlalchemy import Row

from app.cli.bulk_load import Values
from app.cli.demo_words import DEPARTMENTS, FIRST_NAMES, KINDS, LAST_NAMES, REMARKS, THINGS
from app.core.permissions import Role
from app.crud.quota import month_of
from app.schemas.item import ItemStatus

YEARS: Final = timedelta(days=730)
USUAL_QUOTA: Final = 100_000  # What is consumed where the quota is unlimited goes by this.

_random: Final = Random()  # noqa: S311  Demo data.


# One of the users made before: id, created_at and token_quota. They come in the order of time.
Owner = Row[int, datetime, int | None]


def make_users(
    count: int, *, mark: str, hashed_password: str, quota: int | None, now: datetime
) -> Iterator[Values]:
    """`mark` stands in every name, so that seeding twice does not meet the first time's.

    Each department begins with a manager, who stays. Nobody is an admin: all share one password.
    """
    sizes = list(DEPARTMENTS.values())
    departments = [*DEPARTMENTS, *_random.choices(list(DEPARTMENTS), sizes, k=count)]
    for number, created_at in enumerate(_moments(count, since=now - YEARS, until=now)):
        first, last = _random.choice(FIRST_NAMES), _random.choice(LAST_NAMES)
        name = f"{_ascii(first)}.{_ascii(last)}.{mark}{number}"
        founds_department = number < len(DEPARTMENTS)
        deleted_at = _perhaps_later(created_at, now, chance=0 if founds_department else 0.02)
        yield {
            "email": f"{name}@example.com",
            "username": name,
            "full_name": f"{first} {last}",
            "department": departments[number],
            "role": Role.MANAGER if founds_department else _role(),
            "hashed_password": hashed_password,
            "is_active": founds_department or _random.random() > 0.04,
            "is_verified": founds_department or _random.random() > 0.03,
            "must_change_password": False,
            "token_quota": quota,
            "created_at": created_at,
            "updated_at": deleted_at or created_at,
            "last_login_at": _perhaps_later(created_at, deleted_at or now, chance=0.85),
            "deleted_at": deleted_at,
            "version": 1 if deleted_at is None else 2,
        }


def make_items(count: int, *, owners: Sequence[Owner], now: datetime) -> Iterator[Values]:
    """The older an item, the likelier it is archived."""
    described = _described_things()
    for owner, created_at in _with_owners(count, owners, now):
        title, description = described[int(_random.random() * len(described))]
        deleted_at = _perhaps_later(created_at, now, chance=0.03)
        yield {
            "title": title,
            "description": description,
            "status": _status((now - created_at) / YEARS),
            "owner_id": owner.id,
            "created_at": created_at,
            "updated_at": deleted_at or created_at,
            "deleted_at": deleted_at,
            "version": 1 if deleted_at is None else 2,
        }


def count_of_usage(owners: Sequence[Owner]) -> int:
    """Enough to show something in a small office, and not to outweigh the rest in a large one."""
    return 200 + 2 * len(owners)


def make_usage(
    count: int, *, owners: Sequence[Owner], now: datetime, counters: dict[tuple[int, date], int]
) -> Iterator[Values | None]:
    """Count into `counters`, by user and month, what the rows of the ledger say.

    None stands for what a quota forbade.
    """
    for owner, at in _with_owners(count, owners, now):
        month = (owner.id, month_of(at))
        used = counters.get(month, 0)
        quota = owner.token_quota
        wanted = 1 + int((USUAL_QUOTA if quota is None else quota) * _random.random() ** 3 / 3)
        tokens = wanted if quota is None else min(wanted, quota - used)
        if tokens <= 0:
            yield None
            continue
        counters[month] = used + tokens
        yield {
            "user_id": owner.id,
            "tokens": tokens,
            "kind": _random.choice(KINDS),
            "created_at": at,
            "recorded_by": owner.id,
        }


def _moments(count: int, *, since: datetime, until: datetime) -> Iterator[datetime]:
    """Rise from one moment to the other, denser to the end: the company grows."""
    span = until - since
    for number in range(count):
        yield since + span * ((number + _random.random()) / count) ** 0.7


def _with_owners(
    count: int, owners: Sequence[Owner], now: datetime
) -> Iterator[tuple[Owner, datetime]]:
    """Give each moment an owner who was there by then; a few of them have the most."""
    there = 1
    for at in _moments(count, since=owners[0].created_at, until=now):
        while there < len(owners) and owners[there].created_at <= at:
            there += 1
        yield owners[int(there * _random.random() ** 1.5)], at


def _perhaps_later(since: datetime, until: datetime, *, chance: float) -> datetime | None:
    if _random.random() >= chance:
        return None
    return since + (until - since) * _random.random()


def _role() -> Role:
    chance = _random.random()
    if chance < 0.01:
        return Role.AUDITOR
    return Role.MANAGER if chance < 0.06 else Role.USER


def _status(age: float) -> ItemStatus:
    chance = _random.random()
    if chance < age * 0.5:
        return ItemStatus.ARCHIVED
    return ItemStatus.DRAFT if chance > 0.85 else ItemStatus.ACTIVE


def _described_things() -> list[tuple[str, str | None]]:
    return [
        (f"{kind} {thing}", None if remark is None else fact + remark)
        for thing, (kinds, facts) in THINGS.items()
        for kind, fact, remark in product(kinds, facts, REMARKS)
    ]


def _ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name)
    return plain.encode("ascii", "ignore").decode().lower()
