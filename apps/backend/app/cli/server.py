import gc
import math
import os
import socket
from typing import Annotated, Any

import structlog
import typer
import uvicorn

from app.cli.accounts import ensure_admin
from app.cli.console import console, fail
from app.cli.listening import LOOP, Supervisor, end_after
from app.cli.seed import seed_once
from app.core.affinity import number_of_cores, stay_on_one_core
from app.core.config import Settings, get_settings
from app.core.logging import configure_logging
from app.db.integrity import DatabaseUnavailableError
from app.db.migrations import is_usable, migrate
from app.main import Backdesk, create_app

# On top of what a request may take, so that every accepted one is answered before the end.
GRACE_SECONDS = 10

# Each has connections of its own; PostgreSQL allows a hundred, unless told otherwise.
MOST_WORKERS = 4

# A worker that does not answer its parent for so long is replaced; a busy machine is slow to start.
WORKER_START_SECONDS = 20

log = structlog.get_logger("backdesk.server")

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)]
Workers = Annotated[int | None, typer.Option(help="Processes; else `WEB_CONCURRENCY`.", min=1)]
Reload = Annotated[bool, typer.Option("--reload", help="Start anew when a file changes.")]


def serve(
    host: Host = "127.0.0.1", port: Port = 8000, workers: Workers = None, reload: Reload = False
) -> None:
    """Serve the API."""
    if workers is None:
        workers = sensible_workers(get_settings())
    os.environ["WEB_CONCURRENCY"] = str(workers)
    get_settings.cache_clear()
    settings = _reachable_at(host, port)
    _refuse_taken_port(host, port)
    _warn_of_database()
    longest = max(settings.REQUEST_TIMEOUT_SECONDS, settings.IMPORT_TIMEOUT_SECONDS)
    options: dict[str, Any] = {
        "app": "app.cli.server:app_to_serve",
        "factory": True,
        "host": host,
        "port": port,
        "workers": settings.WEB_CONCURRENCY,
        "loop": LOOP,
        "http": "app.cli.protocol:GuardedProtocol",
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": math.ceil(longest) + GRACE_SECONDS,
        "timeout_worker_healthcheck": WORKER_START_SECONDS,
    }
    if reload or settings.WEB_CONCURRENCY == 1:
        uvicorn.run(**options, reload=reload)
    else:
        config = uvicorn.Config(**options)
        Supervisor(config, sockets=[config.bind_socket()]).run()


def sensible_workers(settings: Settings) -> int:
    """Return as many as the machine has cores, where they share a database and what is counted."""
    shares_all = not settings.is_sqlite and settings.REDIS_URL is not None
    is_own_machine = settings.ENVIRONMENT == "local"
    if "WEB_CONCURRENCY" in settings.model_fields_set or is_own_machine or not shares_all:
        return settings.WEB_CONCURRENCY
    return min(MOST_WORKERS, number_of_cores())


def app_to_serve() -> Backdesk:
    """Make the application, in the thread of the event loop."""
    app = create_app()
    end_after(get_settings().SHUTDOWN_DELAY_SECONDS, app)
    if get_settings().STAY_ON_ONE_CORE:
        stay_on_one_core()
    gc.collect()
    gc.freeze()  # What is there now stays to the end: the collector need not look at it again.
    return app


def _reachable_at(host: str, port: int) -> Settings:
    """On a developer's machine the links in letters lead to where this serves."""
    settings = get_settings()
    is_own_machine = settings.ENVIRONMENT == "local" and host in {"127.0.0.1", "localhost"}
    if is_own_machine and "PUBLIC_URL" not in settings.model_fields_set:
        os.environ["PUBLIC_URL"] = f"http://{host}:{port}"
        get_settings.cache_clear()
    return get_settings()


def run(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    seed: Annotated[
        bool, typer.Option("--seed", help="Add demo data where there are no items.")
    ] = False,
    reload: Reload = False,
) -> None:
    """Migrate, create the first admin, and serve: one command for a new machine."""
    _refuse_taken_port(host, port)
    migrate()
    ensure_admin()
    if seed:
        seed_once()
    prefix = get_settings().API_V1_STR
    base = f"http://{host}:{port}"
    log_in = f"curl {base}{prefix}/auth/login -d username=E-MAIL -d password=PASSWORD"
    text = f"\n  API     {base}{prefix}/\n  Docs    {base}/docs\n  Log in  {log_in}\n"
    console.print(text, soft_wrap=True)
    serve(host=host, port=port, reload=reload)


def _warn_of_database() -> None:
    """Serving goes on all the same: the database may come, or be migrated, later."""
    configure_logging()
    try:
        if not is_usable():
            log.warning("schema not ready", remedy="python3 manage.py migrate")
    except DatabaseUnavailableError as error:
        log.warning("database unavailable", cause=str(error.__cause__).partition("\n")[0])


def _refuse_taken_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fail(f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port.")
