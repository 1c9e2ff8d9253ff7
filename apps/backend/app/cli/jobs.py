from datetime import timedelta
from typing import Final

import typer

from app.cli.console import console, fail
from app.core.logging import configure_logging
from app.tasks.deliver_mail import deliver_mail
from app.tasks.schedule import run_job

LONGEST_DELIVERY: Final = timedelta(hours=1)


def add_commands(cli: typer.Typer) -> None:
    cli.command()(clean_up)
    cli.command("deliver-mail")(deliver)


def clean_up() -> None:
    """Delete expired sessions and tokens, letters sent long ago, and old audit events, now."""
    for name in ("clean-up", "retention"):
        is_complete = False
        while not is_complete:
            outcome = run_job(name)
            if outcome.error is not None:
                fail(f"{name} failed: {outcome.error}. The log tells more.")
            console.print(f"{name}: {outcome.text}")
            is_complete = outcome.is_complete


def deliver() -> None:
    """Deliver the letters that are due, now. The server does the same in the background."""
    configure_logging()
    console.print(deliver_mail(longest_run=LONGEST_DELIVERY), markup=False, soft_wrap=True)
