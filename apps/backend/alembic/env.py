"""How Alembic reaches the database: by the application's own settings and models."""

import warnings
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

from app.db.base import UtcDateTime
from app.db.session import create_migration_engine
from app.models import Base  # By way of the models, so that the metadata is whole.
from app.models.indexes import NEEDS_TRIGRAMS

# Of the indexes that are PostgreSQL's alone.
warnings.filterwarnings("ignore", r"autogenerate skipping .* expression-based index", UserWarning)

MIGRATION_LOCK = 0x6261636B  # Any number of our own: "back".


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Migrations outlive our types: write down what the database sees."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, JSONB):  # Alembic's own text names what it imports not.
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return "postgresql.JSONB()"
    return False


def knows_trigrams(connection: Connection) -> bool:
    usable = (
        "SELECT 1 FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid)"
    )
    is_postgresql = connection.dialect.name == "postgresql"
    return is_postgresql and connection.scalar(text(usable)) is not None


def run(connection: Connection) -> None:
    has_trigrams = knows_trigrams(connection)

    def is_compared(item: SchemaItem, *_: object) -> bool:
        """Miss no index that this database cannot have."""
        return has_trigrams or NEEDS_TRIGRAMS not in item.info

    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        include_object=is_compared,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_server_default=True,
        # All or nothing, on SQLite too, where two that start at once would run each other's steps.
        transactional_ddl=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Several replicas may start at once: the first migrates, the others wait and find
            # nothing left to do. The lock ends with the transaction.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        context.run_migrations()
        if connection.dialect.name == "sqlite":
            refuse_dangling_rows(connection)


def refuse_dangling_rows(connection: Connection) -> None:
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if dangling is not None:
        raise SystemExit(f"The migration leaves rows of {dangling[0]} that refer to nothing.")


def let_sqlite_rebuild_tables(connection: Connection) -> None:
    """SQLite changes a table by copying it; while the old one goes, references lead nowhere.

    The pragma does nothing inside a transaction, so it goes to the driver before one begins. The
    copying takes the time it takes. The connection is not used again afterwards.
    """
    driver = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite" or driver is None:
        return
    connection.detach()
    driver.execute("PRAGMA foreign_keys = OFF")
    driver.set_progress_handler(None, 0)


if context.is_offline_mode():
    raise SystemExit("Offline mode is not supported: migrations read the database they change.")

engine = create_migration_engine()
with engine.connect() as connection:
    let_sqlite_rebuild_tables(connection)
    run(connection)
    connection.commit()
engine.dispose()
