import random
import secrets
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from alembic import command
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import insert, select

from app.cli.console import console, fail, progress_bar
from app.core.clock import utc_now
from app.core.config import get_settings
from app.core.permissions import Role
from app.core.security import hash_password
from app.db import migrations
from app.db.session import read_only, unit_of_work
from app.models import Item, User
from app.schemas.item import ItemStatus

BATCH = 1000
DEMO_USERS, DEMO_ITEMS = 50, 500
FIRST_NAMES = ("Ada", "Ben", "Chloé", "Dmitri", "Emil", "Farah", "Grace", "Hiro", "Inés", "Jonas")
LAST_NAMES = ("Adler", "Brown", "Costa", "Dahl", "Egede", "Fischer", "García", "Haas", "Ito")
DEPARTMENTS = ("Sales", "Support", "Finance", "Engineering", "Logistics")
ADJECTIVES = ("Brass", "Folding", "Green", "Heavy", "Oak", "Quiet", "Small", "Wide")
THINGS = ("cabinet", "chair", "desk lamp", "drawer", "monitor arm", "rack", "screen", "table")


def add_commands(cli: typer.Typer) -> None:
    cli.command()(migrate)
    cli.command()(new_migration)
    cli.command()(seed)


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail where a migration is due.")
    ] = False,
    to: Annotated[
        str | None, typer.Option(help="A revision, up or down; `base` for the empty database.")
    ] = None,
) -> None:
    """Bring the database's schema to this release's version. Safe when several start at once."""
    if check:
        current = migrations.current_revision() if migrations.has_database() else None
        head = migrations.head_revision()
        if current != head:
            fail(
                f"the schema is at {current or 'nothing'}, this release needs {head}: run migrate."
            )
        console.print(f"The schema is up to date ({head}).")
        return
    try:
        migrations.migrate_to(to or "head")
    except CommandError as error:
        fail(str(error))
    console.print(f"The schema is at {migrations.current_revision() or 'nothing'}.")


def new_migration(message: Annotated[str, typer.Argument(metavar='"what changes"')]) -> None:
    """Write a migration from the difference between the models and the database, if any."""
    if find_spec("ruff") is None:
        fail("it is formatted by the linters, which `python3 manage.py lint` installs.")
    try:
        written = command.revision(
            migrations.alembic_config(),
            message=message,
            autogenerate=True,
            process_revision_directives=_leave_out_empty,
        )
    except CommandError as error:
        fail(str(error))
    if not written:
        console.print("Nothing to write: the database is as the models say.")


def _leave_out_empty(
    _context: MigrationContext, _revision: Any, scripts: list[MigrationScript]
) -> None:
    if all(changes.is_empty() for script in scripts for changes in script.upgrade_ops_list):
        scripts.clear()


def seed(
    users: Annotated[int, typer.Option(min=0)] = DEMO_USERS,
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
    if get_settings().ENVIRONMENT == "production":
        fail("demo data is refused in production.")
    password = secrets.token_urlsafe(9)
    hashed_password = hash_password(password)
    mark = secrets.token_hex(3)  # So that seeding twice does not meet the first time's names.
    owner_ids: list[int] = []
    with unit_of_work() as db, progress_bar() as bar:
        progress = bar.add_task("Users", total=users)
        for start in range(0, users, BATCH):
            rows = [
                _user(number, mark, hashed_password)
                for number in range(start, min(start + BATCH, users))
            ]
            owner_ids += db.scalars(insert(User).returning(User.id), rows)
            bar.advance(progress, len(rows))
        progress = bar.add_task("Items", total=items if owner_ids else 0)
        for start in range(0, items if owner_ids else 0, BATCH):
            rows = [_item(owner_ids) for _ in range(min(BATCH, items - start))]
            db.execute(insert(Item), rows)
            bar.advance(progress, len(rows))
    if owner_ids:
        console.print(f"All demo users have the password {password}", markup=False)


def _user(number: int, mark: str, hashed_password: str) -> dict[str, Any]:
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    last = LAST_NAMES[number // len(FIRST_NAMES) % len(LAST_NAMES)]
    name = f"{first}.{last}.{mark}{number}".lower().encode("ascii", "ignore").decode()
    now = utc_now()
    return {
        "email": f"{name}@example.com",
        "username": name,
        "full_name": f"{first} {last}",
        "department": DEPARTMENTS[number % len(DEPARTMENTS)],
        "role": Role.MANAGER if number < len(DEPARTMENTS) else Role.USER,
        "hashed_password": hashed_password,
        "is_active": True,
        "is_verified": True,
        "token_quota": get_settings().DEFAULT_TOKEN_QUOTA,
        "created_at": now,
        "updated_at": now,
    }


def _item(owner_ids: list[int]) -> dict[str, Any]:
    now = utc_now()
    return {
        "title": f"{random.choice(ADJECTIVES)} {random.choice(THINGS)}",  # noqa: S311  Demo data.
        "status": random.choice(list(ItemStatus)),  # noqa: S311  Demo data.
        "owner_id": random.choice(owner_ids),  # noqa: S311  Demo data.
        "created_at": now,
        "updated_at": now,
    }
