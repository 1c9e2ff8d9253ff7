"""Where the database's schema stands, and how it gets to where it should be."""

from functools import lru_cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from app.core.config import get_settings
from app.db.integrity import DatabaseUnavailableError
from app.db.session import get_engine

BACKEND: Final = Path(__file__).resolve().parents[2]


def alembic_config() -> Config:
    return Config(BACKEND / "alembic.ini")


@lru_cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


def migrate(to: str = "head") -> None:
    """Go up or down to a revision. Raises CommandError for an unknown one, or for a part of one."""
    if to not in {"head", "base", *(script.revision for script in _scripts().walk_revisions())}:
        raise CommandError(f"there is no revision {to}: give the whole id, head or base.")
    if to != "head" and (to == "base" or _is_behind_us(to)):
        command.downgrade(alembic_config(), to)
    else:
        command.upgrade(alembic_config(), to)


def _is_behind_us(revision: str) -> bool:
    if (current := current_revision()) is None:
        return False
    wanted = _scripts().get_revision(revision).revision
    passed = _scripts().iterate_revisions(current, "base")
    return wanted in (script.revision for script in passed)


def head_revision() -> str | None:
    return _scripts().get_current_head()


def has_database() -> bool:
    """Tell whether the SQLite file is there; connecting would make it."""
    settings = get_settings()
    return not settings.is_sqlite or Path(str(settings.database_url.database)).exists()


def current_revision() -> str | None:
    """Raises DatabaseUnavailableError."""
    try:
        engine = get_engine().execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        raise DatabaseUnavailableError from error


def is_usable() -> bool:
    """Tell whether the schema is at this release's version, or at a newer release's.

    During a rolling deploy the new release migrates while the old one still serves.
    Raises DatabaseUnavailableError.
    """
    current = current_revision()
    if current is None or current == head_revision():
        return current is not None
    return all(script.revision != current for script in _scripts().walk_revisions())
