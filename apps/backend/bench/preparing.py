"""What comes before a measurement."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.core.security import hash_password
from bench.database import Database, Server, database
from bench.fill import PASSWORD, fill
from bench.places import BACKEND


@contextmanager
def filled_database(server: Server, *, items: int, for_peers: bool = True) -> Iterator[Database]:
    say(f"Filling a database with {items} items ...")
    with database(server, items=items) as made:
        _migrate(made.backdesk)
        fill(made, hashed_password=hash_password(PASSWORD), for_peers=for_peers)
        yield made


def _migrate(database_url: str) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url}
    command = [sys.executable, "-m", "app.cli", "migrate"]
    subprocess.run(command, cwd=BACKEND, env=environment, check=True, stdout=subprocess.DEVNULL)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
