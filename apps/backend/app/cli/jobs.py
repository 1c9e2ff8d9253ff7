import typer

from app.cli.console import console, fail
from app.tasks.schedule import run_job


def add_commands(cli: typer.Typer) -> None:
    cli.command()(clean_up)


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
