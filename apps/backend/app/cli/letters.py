import typer

from app.cli.console import console
from app.core.logging import configure_logging
from app.tasks.deliver_mail import deliver_mail


def add_commands(cli: typer.Typer) -> None:
    cli.command("deliver-mail")(deliver)


def deliver() -> None:
    """Deliver the letters that are due, now. The server does the same in the background."""
    configure_logging()
    console.print(deliver_mail(), markup=False, soft_wrap=True)
