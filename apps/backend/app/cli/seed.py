"""Demo data: an office of any size."""

import secrets
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Final

import typer
from rich.progress import Progress
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.cli import demo_data
from app.cli.bulk_load import Load, bulk_load
from app.cli.console import console, fail, progress_bar
from app.cli.demo_data import Owner
from app.core.clock import utc_now
from app.core.config import get_settings
from app.core.security import hash_password
from app.db import migrations
from app.db.session import read_only, unit_of_work
from app.models import Item, UsageEvent, UsageMonth, User

DEMO_USERS, DEMO_ITEMS = 50, 500
LARGE: Final = 100_000
SEEDED: Final = (User, Item, UsageEvent, UsageMonth)


def seed_once() -> None:
    """Add demo data where there are no items, so that a second start adds none."""
    with read_only() as db:
        has_items = db.scalar(select(Item.id).limit(1)) is not None
    if has_items:
        console.print("Demo data is not added: there are items already.")
    else:
        seed_demo()


def seed_demo(
    users: Annotated[int, typer.Option(min=1)] = DEMO_USERS,
    items: Annotated[int, typer.Option(min=0)] = DEMO_ITEMS,
) -> None:
    """Add demo data, all of it or nothing. Refused in production."""
    if get_settings().ENVIRONMENT == "production":
        fail("demo data is refused in production.")
    if not (migrations.has_database() and migrations.is_usable()):
        fail("the database has no tables of this release: run migrate first.")
    password, now = secrets.token_urlsafe(9), utc_now()
    hashed_password = hash_password(password)
    is_large = users + items >= LARGE
    with unit_of_work() as db, progress_bar() as bar:
        with bulk_load(db, bar, models=SEEDED, is_large=is_large) as load:
            people = demo_data.make_users(
                users,
                mark=secrets.token_hex(3),
                hashed_password=hashed_password,
                quota=get_settings().DEFAULT_TOKEN_QUOTA,
                now=now,
            )
            load(User, bar.track(people, total=users, description="Users"))
            owners = _owners_with(db, hashed_password)
            things = demo_data.make_items(items, owners=owners, now=now)
            load(Item, bar.track(things, total=items, description="Items"))
            _add_usage(load, bar, owners)
        for model in SEEDED:  # Plans and totals are estimated by it.
            db.execute(text(f"ANALYZE {model.__tablename__}"))
    console.print(f"All demo users have the password {password}", markup=False)


def _owners_with(db: Session, hashed_password: str) -> Sequence[Owner]:
    """Read back who was just made and is at work; the hash is salted, so that only they have it."""
    return db.execute(
        select(User.id, User.created_at, User.token_quota)
        .where(User.hashed_password == hashed_password, User.is_active)
        .order_by(User.id)
    ).all()


def _add_usage(load: Load, bar: Progress, owners: Sequence[Owner]) -> None:
    """The ledger comes first: it fills the counters."""
    counters: dict[tuple[int, date], int] = {}
    # Enough to show something in a small office, and not to outweigh the rest in a large one.
    count = 200 + 2 * len(owners)
    entries = demo_data.make_usage(count, owners=owners, now=utc_now(), counters=counters)
    load(UsageEvent, filter(None, bar.track(entries, total=count, description="Usage")))
    months = (
        {"user_id": user_id, "month": month, "tokens": tokens}
        for (user_id, month), tokens in counters.items()
    )
    load(UsageMonth, months)
