"""Indexes of lists: one for every sort that is offered, one for the search.

Revision ID: 55434e2b9efa
Revises: 7a9a2e56da01
Create Date: 2026-11-25 18:25:40.503586+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision: str = "55434e2b9efa"
down_revision: str | Sequence[str] | None = "7a9a2e56da01"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


PRESENT = sa.text("deleted_at IS NULL")
OLD = {"users": ("department", "role"), "items": ("owner_id", "status")}
SORTED = {
    "users": (
        *("full_name", "token_quota", "last_login_at", "role", "is_active", "is_verified"),
        *("created_at", "updated_at"),
    ),
    "items": ("title", "status", "created_at", "updated_at"),
}
# By which one sorts downwards too, with the empty ones last.
NULLABLE = ("full_name", "department", "token_quota", "last_login_at")
SEARCHED = {
    "users": ["email", "username", "full_name", "department"],
    "items": ["title", "description"],
}
WITH_THE_TRASH = {"users": ["department", "id"], "items": ["owner_id", "id", "deleted_at"]}


def upgrade() -> None:
    for table, columns in OLD.items():
        op.drop_index(f"ix_{table}_created_at_id", table)
        for column in columns:
            op.drop_index(f"ix_{table}_{column}", table)
    for table, columns in SORTED.items():
        for column in columns:
            create_partial_index(f"ix_{table}_{column}_id", table, [column, "id"])
    for table, names in WITH_THE_TRASH.items():
        op.create_index(f"ix_{table}_{'_'.join(names)}", table, names)
    op.create_index("ix_usage_events_tokens_id", "usage_events", ["tokens", "id"])
    if op.get_bind().dialect.name == "postgresql":
        for column in NULLABLE:
            order = [sa.text(f"{column} DESC NULLS LAST"), sa.text("id DESC")]
            create_partial_index(f"ix_users_{column}_id_desc", "users", order)
        create_search_indexes()


def create_partial_index(name: str, table: str, columns: list[str | sa.TextClause]) -> None:
    op.create_index(name, table, columns, postgresql_where=PRESENT, sqlite_where=PRESENT)


def create_search_indexes() -> None:
    """Where the server has the module and lets us use it; without them a search reads the table."""
    database = op.get_bind()
    try:
        with database.begin_nested():
            database.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            for table, columns in SEARCHED.items():
                op.create_index(
                    f"ix_{table}_search",
                    table,
                    columns,
                    postgresql_using="gin",
                    postgresql_ops=dict.fromkeys(columns, "gin_trgm_ops"),
                )
    except DBAPIError as error:
        cause = str(error.orig).partition("\n")[0]
        op.get_context().config.print_stdout("Searches will read whole tables: %s", cause)


def downgrade() -> None:
    op.drop_index("ix_usage_events_tokens_id", "usage_events")
    if op.get_bind().dialect.name == "postgresql":
        for table in SEARCHED:
            op.drop_index(f"ix_{table}_search", table, if_exists=True)
        for column in NULLABLE:
            op.drop_index(f"ix_users_{column}_id_desc", "users")
    for table, names in WITH_THE_TRASH.items():
        op.drop_index(f"ix_{table}_{'_'.join(names)}", table)
    for table, columns in SORTED.items():
        for column in columns:
            op.drop_index(f"ix_{table}_{column}_id", table)
    for table, columns in OLD.items():
        op.create_index(f"ix_{table}_created_at_id", table, ["created_at", "id"])
        for column in columns:
            op.create_index(f"ix_{table}_{column}", table, [column])
