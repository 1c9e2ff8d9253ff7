"""How commands talk: plain lines, and one line for a failure."""

import sys
from typing import NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(highlight=False)


def fail(text: str, *, code: int = 1) -> NoReturn:
    typer.echo(f"Error: {text}", err=True)
    sys.exit(code)


def settings_faults(error: ValidationError) -> list[str]:
    return [
        f"{one['loc'][0]} {one['msg'].removeprefix('Value error, ')}"
        for one in error.errors(include_input=False)
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
