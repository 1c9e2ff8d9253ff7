"""Demo data in bulk."""

import csv
import io
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from app.cli import demo_data
from app.cli.console import console, fail, progress_bar
from app.cli.demo_data import Owner, Row
from app.core.clock import utc_now
from app.core.config import get_settings
from app.core.security import hash_password
from app.db.session import read_only, unit_of_work
from app.models import Base, Item, UsageEvent, UsageMonth, User

BATCH: Final = 1000
DEMO_USERS, DEMO_ITEMS = 50, 500


def add_commands(cli: typer.Typer) -> None:
    cli.command()(seed)


def seed(
    users: Annotated[int, typer.Option(min=1)] = DEMO_USERS,
    items: Annotated[int, typer.Option(min=0)] = DEMO_ITEMS,
) -> None:
    """Add demo data. Refused in production."""
    seed_demo(users=users, items=items)


def seed_once() -> None:
    """Add demo data to a database without items, so that a second start adds none."""
    with read_only() as db:
        has_items = db.scalar(select(Item.id).limit(1)) is not None
    if not has_items:
        seed_demo()


def seed_demo(*, users: int = DEMO_USERS, items: int = DEMO_ITEMS) -> None:
    """Add all of it, or nothing."""
    if get_settings().ENVIRONMENT == "production":
        fail("demo data is refused in production.")
    password = secrets.token_urlsafe(9)
    hashed_password = hash_password(password)
    with unit_of_work() as db, progress_bar() as bar:
        _add_everything(db, bar, users=users, items=items, hashed_password=hashed_password)
    console.print(f"All demo users have the password {password}", markup=False)


def _add_everything(
    db: Session, bar: Progress, *, users: int, items: int, hashed_password: str
) -> None:
    now = utc_now()
    people = demo_data.make_users(
        users,
        mark=secrets.token_hex(3),
        hashed_password=hashed_password,
        quota=get_settings().DEFAULT_TOKEN_QUOTA,
        now=now,
    )
    _add(db, User, demo_data.USER_COLUMNS, bar.track(people, total=users, description="Users"))
    owners = _owners_with(db, hashed_password)
    things = demo_data.make_items(items, owners=owners, now=now)
    _add(db, Item, demo_data.ITEM_COLUMNS, bar.track(things, total=items, description="Items"))
    counters: dict[tuple[int, date], int] = {}
    entries = bar.track(
        demo_data.make_usage(owners=owners, now=now, counters=counters),
        total=len(owners) * demo_data.ENTRIES_PER_USER,
        description="Usage",
    )
    _add(db, UsageEvent, demo_data.USAGE_COLUMNS, filter(None, entries))
    months = ((*key, tokens) for key, tokens in counters.items())
    _add(db, UsageMonth, demo_data.MONTH_COLUMNS, months)
    for model in (User, Item, UsageEvent, UsageMonth):
        db.execute(text(f"ANALYZE {model.__tablename__}"))  # Plans and totals are estimated by it.


def _owners_with(db: Session, hashed_password: str) -> Sequence[Owner]:
    """Read back who was just made and is still there; the hash is salted, so only theirs."""
    rows = db.execute(
        select(User.id, User.created_at, User.token_quota)
        .where(User.hashed_password == hashed_password, User.is_active)
        .order_by(User.id)
    )
    return [Owner(*row) for row in rows]


def _add(db: Session, model: type[Base], columns: Sequence[str], rows: Iterable[Row]) -> None:
    if db.get_bind().dialect.name == "postgresql":
        _copy(db, model, columns, rows)
        return
    for batch in _in_batches(rows):
        db.execute(insert(model), [dict(zip(columns, row, strict=True)) for row in batch])


def _copy(db: Session, model: type[Base], columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Stream the rows, so that they are made here while the server stores those before."""
    db.execute(text("SET LOCAL statement_timeout = 0"))
    statement = f"COPY {model.__tablename__} ({', '.join(columns)}) FROM STDIN (FORMAT csv)"
    driver: Any = db.connection().connection
    with driver.cursor() as cursor:
        cursor.copy_expert(statement, _Lines(rows))


class _Lines:
    """The file that COPY reads."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._batches = _in_batches(rows)

    def read(self, _size: int) -> str:
        lines = io.StringIO()
        csv.writer(lines).writerows(next(self._batches, []))
        return lines.getvalue()


def _in_batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while batch := list(islice(rest, BATCH)):
        yield batch
