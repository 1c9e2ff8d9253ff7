"""`python -m app.cli`: everything that is done to Backdesk from a shell."""

import sys

import typer
from sqlalchemy.exc import OperationalError

from app.cli import accounts, database, inspection, server
from app.cli.console import fail, require_settings
from app.core.errors import DomainError
from app.core.logging import configure_logging

cli = typer.Typer(
    name="backdesk",
    help="The backend of internal admin panels.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (server, database, accounts, inspection):
    commands.add_commands(cli)


@cli.callback()
def prepare(context: typer.Context) -> None:
    if context.invoked_subcommand != "check":  # It reports the settings' faults itself.
        require_settings()
        configure_logging()


def main() -> None:
    try:
        cli()
    except OperationalError as error:
        fail(f"The database does not answer: {str(error.orig).splitlines()[0]}")
    except DomainError as error:
        fail(error.detail)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
