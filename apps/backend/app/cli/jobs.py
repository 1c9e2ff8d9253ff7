from datetime import timedelta
from typing import Final

import typer
from pydantic_core import to_json
from rich.markup import escape
from rich.table import Table

from app.cli.console import AsJson, console, fail
from app.core.logging import configure_logging
from app.db.session import read_only
from app.tasks.deliver_mail import deliver_mail
from app.tasks.schedule import get_jobs, run_job

LONGEST_DELIVERY: Final = timedelta(hours=1)


def list_jobs(as_json: AsJson = False) -> None:
    """List the background jobs: when each is due, and how it went."""
    with read_only() as db:
        found = get_jobs(db)
    if as_json:
        typer.echo(to_json(found, indent=2))
        return
    table = Table("Job", "Due", "Last run", box=None, pad_edge=False)
    for job in found:
        due_at = "now" if job["due_at"] is None else f"{job['due_at']:%Y-%m-%d %H:%M:%S} UTC"
        last = job["error"] or job["outcome"] or "never"
        table.add_row(job["name"], "running" if job["is_running"] else due_at, escape(last))
    console.print(table)


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
