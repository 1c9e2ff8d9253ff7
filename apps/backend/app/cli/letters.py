from datetime import timedelta
from typing import Final

import typer

from app.cli.console import console
from app.core.logging import configure_logging
from app.tasks.deliver_mail import deliver_mail

LONGEST_RUN: Final = timedelta(hours=1)


def add_commands(cli: typer.Typer) -> None:
    cli.command("deliver-mail")(deliver)


def deliver() -> None:
    """Deliver the letters that are due, now. The server does the same in the background."""
    configure_logging()
    console.print(deliver_mail(longest_run=LONGEST_RUN), markup=False, soft_wrap=True)
