"""The e-mails, as their recipients get them."""

from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli.console import console, fail
from app.core.clock import utc_now
from app.core.config import TOP
from app.core.letter_text import write_text
from app.crud.letter import LINK_PURPOSES
from app.crud.one_time_token import LIFETIMES
from app.schemas.letter import LetterTemplate

SAMPLE: Final = {"name": "Ann Lee", "username": "ann.lee", "new_email": "ann.lee@example.org"}

emails = typer.Typer(no_args_is_help=True, help="Look at the e-mails.")


@emails.command()
def preview(
    folder: Annotated[
        Path, typer.Argument(help="Where to write.", show_default="build/emails")
    ] = TOP / "build/emails",
) -> None:
    """Write each e-mail with sample data, as HTML and as text. Needs no database."""
    now = utc_now()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for template in LetterTemplate:
            purpose = LINK_PURPOSES.get(template)
            end = now + LIFETIMES[purpose] if purpose else None
            _, text, html = write_text(
                template, parameters=SAMPLE, written_at=now, token="sample-" * 6, expires_at=end
            )
            (folder / f"{template}.html").write_text(html, encoding="utf-8")
            (folder / f"{template}.txt").write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        fail(f"cannot write into {folder}: {error.strerror}.")
    console.print(f"{len(LetterTemplate)} e-mails are in {folder}", markup=False)
