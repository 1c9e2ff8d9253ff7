from importlib.util import find_spec
from typing import Annotated, Any

import typer
from alembic import command
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from app.cli.console import console, fail, is_terminal
from app.db import migrations


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
            found = f"the schema is at {current}" if current else "the database is empty"
            fail(f"{found}, this release needs {head}: run migrate.")
        console.print(f"The schema is up to date ({head}).")
        return
    if to == "base" and is_terminal():
        typer.confirm("This drops every table, with all that is in it. Go on?", abort=True)
    try:
        migrations.migrate("head" if to is None else to)
    except CommandError as error:
        fail(str(error))
    current = migrations.current_revision()
    console.print(f"The schema is at {current}." if current else "The database is empty.")


def new_migration(message: Annotated[str, typer.Argument(metavar='"what changes"')]) -> None:
    """Write a migration from the difference between the models and the database, if any."""
    if find_spec("ruff") is None:
        fail("migrations are formatted with ruff: run `python3 manage.py lint` once first.")
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
