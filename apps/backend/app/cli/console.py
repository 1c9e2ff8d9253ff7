"""How commands talk: plain lines, and one line for a failure."""

import sys
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from app.api.wording import text_of

console = Console(highlight=False, soft_wrap=True)
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def fail(text: str, *, code: int = 1) -> NoReturn:
    typer.echo(printable(f"Error: {text}"), err=True)
    sys.exit(code)


def printable(text: str) -> str:
    """What a file holds is shown, too, but must not control the terminal."""
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)


def settings_faults(error: ValidationError) -> list[str]:
    return [
        f"{one['loc'][0]} {text[:1].lower() if text[1:2].islower() else text[:1]}{text[1:]}"
        for one in error.errors(include_input=False)
        for text in [text_of(one).removesuffix(".")]
    ]


def is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def file_bar(*, is_wanted: bool = True) -> Progress:
    """In a terminal, and on standard error: standard output may be the file."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
        disable=not (is_wanted and sys.stderr.isatty()),
    )
