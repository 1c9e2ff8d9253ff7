"""`python -m app.cli`: everything that is done to Backdesk from a shell."""

import os
import sys

import typer
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, OperationalError
from typer._completion_classes import completion_init

from app import __version__
from app.cli import accounts, database, files, inspection, jobs, seed, server
from app.cli.console import fail, settings_faults
from app.cli.emails import emails
from app.core.config import Settings
from app.core.errors import DomainError
from app.db.integrity import is_missing_table

cli = typer.Typer(
    name="backdesk",
    help="The backend of internal admin panels.",
    no_args_is_help=True,
    add_completion=False,  # Its scripts look for `manage.py` in PATH.
    pretty_exceptions_enable=False,
)
completion_init()  # For those of the launcher, which ask here what fits.
COMMANDS = (
    ("serve", server.serve),
    ("run", server.run),
    ("migrate", database.migrate),
    ("new-migration", database.new_migration),
    ("seed", seed.seed_demo),
    ("create-admin", accounts.create_admin),
    ("reset-password", accounts.reset_password),
    ("end-sessions", accounts.end_sessions),
    ("export", files.export_records),
    ("import", files.import_records),
    ("jobs", jobs.list_jobs),
    ("deliver-mail", jobs.deliver),
    ("clean-up", jobs.clean_up),
    ("check", inspection.check),
    ("routes", inspection.routes),
    ("openapi", inspection.openapi),
    ("shell", inspection.shell),
)
NEED_ARGUMENTS = {"new-migration", "reset-password", "export", "import"}
for name, command in COMMANDS:
    cli.command(name, no_args_is_help=name in NEED_ARGUMENTS)(command)
cli.add_typer(emails, name="emails")


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        typer.echo(f"Backdesk {__version__}")
        return
    try:
        cli(prog_name=os.environ.get("BACKDESK_PROGRAM"))  # Set by the launcher.
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        faults = "\n".join(f"  {fault}" for fault in settings_faults(error))
        fail(f"these settings must be changed first:\n{faults}", code=2)
    except DBAPIError as error:
        if is_missing_table(error):
            fail("the database has no tables yet: run migrate.")
        if not isinstance(error, OperationalError):
            raise
        fail(f"The database does not answer: {str(error.orig).splitlines()[0]}")
    except DomainError as error:
        fail(error.detail)
    except (KeyboardInterrupt, EOFError):
        sys.exit(130)


if __name__ == "__main__":
    main()
