"""Exports and imports, by the code of the API."""

import os
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile, mkstemp
from typing import Annotated, BinaryIO, Final

import typer
from fastapi import UploadFile
from fastapi.exceptions import RequestValidationError
from rich.progress import Progress

import app.api.api  # noqa: F401  It fills EXPORTS and IMPORTS.
from app.api.exports import EXPORTS
from app.api.imports import IMPORTS, UnknownFormatError, import_rows, open_upload
from app.api.wording import text_of
from app.cli.accounts import find_user
from app.cli.console import console, fail, file_bar, printable
from app.core.errors import DomainError, PermissionDeniedError
from app.core.origin import Origin
from app.core.permissions import Principal, Role
from app.core.record_file import FileFormat
from app.crud.export_file import get_export, write_export
from app.crud.importing import Importing
from app.db.session import read_only, unit_of_work
from app.schemas.imports import ImportPreview, ImportResult, OnConflict
from app.schemas.listing import ExportFormat
from app.schemas.user import UserPublic

# Whoever is at the shell may do everything; the audit names nobody.
OPERATOR: Final = Principal(
    0, 0, Role.ADMIN, None, True, False, {"email": None, "token_quota": None}
)

_FILTERS: Final = "A parameter of the list: role=admin, q=lamp, sort=-id. May be repeated."
_BY_SUFFIX: Final = {f".{one}": one for one in ExportFormat}
_FORMAT: Final = "Left out, the file's name tells."
_ACTOR: Final = "Whose rights, and whose new items."
_CONFLICT: Final = "What is done with rows whose record is there already."

Exported = Annotated[str, typer.Argument(metavar="|".join(EXPORTS))]
ExportedAs = Annotated[ExportFormat | None, typer.Option("--format", help=_FORMAT)]
Output = Annotated[str, typer.Option(metavar="FILE", help="`-` is standard output.")]
Filters = Annotated[list[str] | None, typer.Option("--filter", metavar="NAME=VALUE", help=_FILTERS)]
Columns = Annotated[str | None, typer.Option(help="`importable`: those that an import takes.")]
Bom = Annotated[bool, typer.Option("--bom", help="A byte order mark, for Excel.")]

Imported = Annotated[str, typer.Argument(metavar="|".join(IMPORTS))]
Source = Annotated[typer.FileBinaryRead, typer.Argument(help="`-` is standard input.")]
ImportedAs = Annotated[FileFormat | None, typer.Option("--format", help=_FORMAT)]
Conflicts = Annotated[OnConflict, typer.Option(help=_CONFLICT)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check all, write nothing.")]
ActingFor = Annotated[str | None, typer.Option("--as", metavar="EMAIL", help=_ACTOR)]


def export_records(
    resource: Exported,
    output: Output = "-",
    file_format: ExportedAs = None,
    filters: Filters = None,
    columns: Columns = None,
    bom: Bom = False,
) -> None:
    """Write all records of a resource, or those that filters choose, to a file."""
    if resource not in EXPORTS:
        raise typer.BadParameter(f"choose one of {', '.join(EXPORTS)}.", param_hint="resource")
    listing, parameters = EXPORTS[resource]
    named = file_format or _BY_SUFFIX.get(Path(output).suffix, ExportFormat.CSV)
    own = {"format": named.value, "columns": columns, "bom": "true" if bom else None}
    given = [(name, value) for name, value in own.items() if value]
    if unreadable := [one for one in filters or () if "=" not in one]:
        raise typer.BadParameter(f"write NAME=VALUE, not {unreadable[0]}.", param_hint="--filter")
    given += [(name, value) for name, _, value in (one.partition("=") for one in filters or ())]
    try:
        query = parameters.read(given, OPERATOR)
    except RequestValidationError as error:
        texts = [f"{one['loc'][-1]}: {text_of(one)}" for one in error.errors()]
        raise typer.BadParameter(" ".join(texts)) from None
    export = get_export(listing, query=query, actor=OPERATOR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # It leaves no draft behind.
    is_seen = output == "-" and sys.stdout.isatty()
    if is_seen and named is ExportFormat.XLSX:
        raise typer.BadParameter("a terminal cannot show it; name a file.", param_hint="--output")
    try:
        with file_bar(is_wanted=not is_seen) as bar, _destination(output) as file:
            write_export(_Watched(file, bar), export=export, origin=Origin())
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(f"cannot write {output}: {error.strerror}.")


class _Watched:
    """A file whose bytes are counted on the way."""

    def __init__(self, file: BinaryIO, bar: Progress) -> None:
        self._file, self._bar = file, bar
        self._task = bar.add_task("Written", total=None)

    def write(self, data: bytes, /) -> None:
        self._file.write(data)
        self._bar.advance(self._task, len(data))


@contextmanager
def _destination(output: str) -> Iterator[BinaryIO]:
    """Give a file of mode 0600 that gets its name once it is whole. A device is written to."""
    path = Path(output).resolve()
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
    elif path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
    else:
        handle, draft = mkstemp(dir=path.parent, prefix=".export-")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(handle)
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)


def import_records(
    resource: Imported,
    file: Source,
    file_format: ImportedAs = None,
    on_conflict: Conflicts = OnConflict.ERROR,
    dry_run: DryRun = False,
    email: ActingFor = None,
) -> None:
    """Create or change records from a file: all rows, or none and exit code 1."""
    if resource not in IMPORTS:
        raise typer.BadParameter(f"choose one of {', '.join(IMPORTS)}.", param_hint="resource")
    if resource == "items" and email is None:
        raise typer.BadParameter("say whose new items are that name no owner.", param_hint="--as")
    importer, public, permission = IMPORTS[resource]
    actor = OPERATOR if email is None else _get_actor(email)
    if not actor.may(permission):
        raise PermissionDeniedError
    # With an id of its own, it can be taken back like a request.
    origin = Origin(
        secrets.token_hex(12), actor_id=actor.id or None, actor_email=actor.profile["email"]
    )
    with TemporaryFile() as copy, unit_of_work(origin) as db, file_bar() as bar:
        shutil.copyfileobj(file, copy)  # A workbook is unpacked in place.
        upload = UploadFile(copy, filename=file.name)
        try:
            opened = open_upload(upload, file_format, importer.schema, public)
            watched = bar.wrap_file(copy, copy.seek(0, os.SEEK_END), description="Read")
            importing = Importing(replace(opened, file=watched), on_conflict)
            result = import_rows(db, importer, importing, actor=actor, is_dry_run=dry_run)
        except UnknownFormatError as error:
            raise typer.BadParameter(error.detail, param_hint="--format") from None
        except DomainError as error:
            bar.stop()
            _show_refused(error.fields)
            raise
    _show_result(result)


def _get_actor(email: str) -> Principal:
    with read_only() as db:
        user = find_user(db, email)
    if not user.is_active:
        raise PermissionDeniedError
    profile = UserPublic.model_validate(user).model_dump()
    role = Role(user.role)
    return Principal(user.id, 0, role, user.department, user.is_verified, False, profile)


def _show_refused(fields: Mapping[str, str]) -> None:
    """`rows.3.email`, whose text begins with the line of the file."""
    for place, text in fields.items():
        if place.startswith("rows."):
            line, _, reason = text.partition(": ")
            column = place.split(".")[-1]
            named = text if column.isdecimal() else f"{line}, {column}: {reason}"
            typer.echo(printable(named), err=True)


def _show_result(result: ImportPreview | ImportResult) -> None:
    if result.ignored_columns:
        typer.echo(printable(f"Ignored columns: {', '.join(result.ignored_columns)}."))
    if isinstance(result, ImportPreview):
        _show_refused(result.errors)
        if result.refused:
            fail(result.detail)
        console.print("Dry run: nothing was written.")
    console.print(f"Created {result.created}, updated {result.updated}, skipped {result.skipped}.")
