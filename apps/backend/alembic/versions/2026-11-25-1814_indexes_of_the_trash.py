"""Indexes of the trash; ids of users that are never given again.

Revision ID: 7a9a2e56da01
Revises: c7f1e8db5129
Create Date: 2026-11-25 18:14:38.934573+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "7a9a2e56da01"
down_revision: str | Sequence[str] | None = "c7f1e8db5129"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("items", schema=None) as batch_op:
        batch_op.create_index(
            "ix_items_trash",
            ["id"],
            unique=False,
            postgresql_where=sa.text("deleted_at IS NOT NULL"),
            sqlite_where=sa.text("deleted_at IS NOT NULL"),
        )

    indexes = drop_indexes("users")
    # SQLite made this table anew for a column, and then gave the last id again when it was free.
    with op.batch_alter_table(
        "users",
        schema=None,
        recreate="always" if op.get_context().dialect.name == "sqlite" else "never",
        table_kwargs={"sqlite_autoincrement": True},
    ) as batch_op:
        batch_op.create_index(
            "ix_users_trash",
            ["id"],
            unique=False,
            postgresql_where=sa.text("deleted_at IS NOT NULL"),
            sqlite_where=sa.text("deleted_at IS NOT NULL"),
        )
    for statement in indexes:
        op.execute(statement)


def drop_indexes(table: str) -> Sequence[str]:
    """Return how they are made again, in the order of their names: those of a table that Alembic
    copies come in no certain order. On PostgreSQL none are dropped, as nothing is copied.
    """
    if op.get_context().dialect.name != "sqlite":
        return []
    made = sa.text(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table"
        " AND sql IS NOT NULL ORDER BY name"
    )
    indexes = op.get_bind().execute(made, {"table": table}).all()
    for index in indexes:
        op.drop_index(index.name, table)
    return [index.sql for index in indexes]


def downgrade() -> None:
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_users_trash",
            postgresql_where=sa.text("deleted_at IS NOT NULL"),
            sqlite_where=sa.text("deleted_at IS NOT NULL"),
        )

    with op.batch_alter_table("items", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_items_trash",
            postgresql_where=sa.text("deleted_at IS NOT NULL"),
            sqlite_where=sa.text("deleted_at IS NOT NULL"),
        )
