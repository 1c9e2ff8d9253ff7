import code
import json
from collections.abc import Iterator
from typing import Any

import typer
from pydantic import ValidationError
from pydantic_core import to_json
from rich.table import Column, Table

from app import models
from app.api.api import access_of, limits_of, route_contexts
from app.cli.console import AsJson, console, settings_faults
from app.core.config import get_settings
from app.core.mailer import MailServerError, try_mail_server
from app.core.rate_limit import RateLimiter, RedisUnavailableError
from app.db import migrations
from app.db.integrity import DatabaseUnavailableError
from app.db.session import unit_of_work
from app.main import create_app


def check(as_json: AsJson = False) -> None:
    """Tell what is wrong with settings, database, schema, Redis and mail server, and what to do."""
    found = []
    for name, fault, note in _checks():
        found.append({"name": name.lower(), "fault": fault})
        if not as_json:
            mark = "[red]✗[/]" if fault else "-" if note else "[green]✓[/]"
            console.print(f"{mark} {name:<9}{fault or note or 'in order'}", soft_wrap=True)
        if fault:
            break
    if as_json:
        typer.echo(to_json(found, indent=2))
    raise typer.Exit(1 if found[-1]["fault"] else 0)


def _checks() -> Iterator[tuple[str, str | None, str]]:
    """Give name, fault and note of each. What follows a fault stands on what is not there."""
    yield "Settings", _check_settings(), ""
    yield "Database", _check_database(), ""
    behind = "is not at this release's version: run migrate"
    yield "Schema", None if migrations.is_usable() else behind, ""
    if get_settings().REDIS_URL is None:
        yield "Redis", None, "not set: each process counts rate limits for itself"
    else:
        yield "Redis", _check_redis(), ""
    is_shown = get_settings().SMTP_HOST is None and get_settings().ENVIRONMENT == "local"
    yield "Letters", _check_letters(), "not set: each is shown in the log" if is_shown else ""


def _check_settings() -> str | None:
    try:
        get_settings()
    except ValidationError as error:
        return "\n    ".join(settings_faults(error))
    return None


def _check_database() -> str | None:
    # Without the query: a password may stand there too.
    shown = get_settings().database_url.set(query={}).render_as_string(hide_password=True)
    if not migrations.has_database():
        return f"does not exist yet at {shown}: run migrate, or correct DATABASE_URL"
    try:
        migrations.current_revision()
    except DatabaseUnavailableError:
        return f"does not answer at {shown}: is it running, is DATABASE_URL right?"
    return None


def _check_letters() -> str | None:
    settings = get_settings()
    if settings.SMTP_HOST is None:
        is_local = settings.ENVIRONMENT == "local"
        return None if is_local else "cannot leave: set SMTP_HOST, then send the dead ones again"
    try:
        try_mail_server()
    except MailServerError as error:
        return f"cannot leave: {error}"
    return None


def _check_redis() -> str | None:
    try:
        RateLimiter(get_settings()).refuse_silent_redis()
    except RedisUnavailableError:
        return "does not answer: is it running, is REDIS_URL right?"
    return None


def routes(as_json: AsJson = False) -> None:
    """List every route: method, path, who may call it, and how often."""
    found: list[dict[str, Any]] = [
        {"method": method, "path": one.path, "who": access_of(one), "limits": limits_of(one)}
        for one in sorted(route_contexts(create_app()), key=lambda context: context.path or "")
        for method in sorted(one.methods or ())
    ]
    if as_json:
        typer.echo(to_json(found, indent=2))
        return
    path = Column("Path", no_wrap=True)
    table = Table("Method", path, "Who", "Limit", box=None, pad_edge=False, collapse_padding=True)
    for route in found:
        table.add_row(route["method"], route["path"], route["who"], "\n".join(route["limits"]))
    console.print(table)
    settings = get_settings()
    if not settings.RATE_LIMIT_ENABLED:
        console.print("\nLimits are off (RATE_LIMIT_ENABLED).")
        return
    console.print(
        f"\nBeside these limits, below {settings.API_V1_STR}: {settings.RATE_LIMIT_USER} per user; "
        f"without a login {settings.RATE_LIMIT_ANONYMOUS} per address.",
        soft_wrap=True,
    )


def openapi() -> None:
    """Print the OpenAPI document."""
    typer.echo(json.dumps(create_app().openapi(), indent=2))


def shell() -> None:
    """Open a Python prompt with a session (`db`) and the models; it commits when it ends well."""
    with unit_of_work() as db:
        names = {"db": db, "models": models, "User": models.User, "Item": models.Item}
        code.interact(banner=f"Names: {', '.join(names)}. End with Ctrl-D to commit.", local=names)
