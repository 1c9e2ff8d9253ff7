"""Texts folded beside themselves; what lists compare, in the order of code points.

Revision ID: 3d0c6b1f9a47
Revises: 55434e2b9efa
Create Date: 2026-11-30 17:00:12.418305+00:00
"""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from app.core.text import fold

revision: str = "3d0c6b1f9a47"
down_revision: str | Sequence[str] | None = "55434e2b9efa"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BATCH = 1000
KEY_LENGTH = 350
PRESENT = sa.text("deleted_at IS NULL")

# What is folded: as much as an index holds, or all of it.
FOLDED: dict[str, dict[str, int | None]] = {
    "users": {"full_name": KEY_LENGTH, "department": KEY_LENGTH},
    "items": {"title": KEY_LENGTH, "description": None},
    "usage_events": {"kind": KEY_LENGTH, "note": None},
    "outgoing_emails": {"last_error": KEY_LENGTH},
}
REQUIRED = {"title", "kind"}
# What is compared as it is stored: on PostgreSQL in the order of code points from now on.
PLAIN = {
    "users": {"email": 254, "username": 50, "department": 100, "role": 20},
    "items": {"status": 20},
    "usage_events": {"kind": 50},
    "outgoing_emails": {"recipient": 254, "template": 50, "status": 10},
    "audit_events": {
        "actor_email": 254,
        "action": 50,
        "resource_type": 50,
        "request_id": 32,
        "ip": 45,
    },
}
# Indexes that read the folded text instead.
SORTED = {"users": ("full_name",), "items": ("title",)}
NULLABLE = ("full_name", "department")
SEARCHED = {
    "users": ["email", "username", "full_name", "department"],
    "items": ["title", "description"],
}


def upgrade() -> None:
    drop_indexes()
    for table, columns in FOLDED.items():
        for column, length in columns.items():
            op.add_column(table, folded_column(column, length))
        fold_rows(table, columns)
    compare_by(collation="C")
    create_indexes(folded=True)


def downgrade() -> None:
    drop_indexes()
    compare_by(collation="default")
    for table, columns in FOLDED.items():
        for column in columns:
            op.drop_column(table, f"{column}_folded")
    create_indexes(folded=False)


def is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def folded_column(column: str, length: int | None) -> sa.Column[str]:
    kind = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    if column in REQUIRED:
        return sa.Column(f"{column}_folded", kind, server_default=sa.text("''"), nullable=False)
    return sa.Column(f"{column}_folded", kind, nullable=True)


def fold_rows(table: str, lengths: dict[str, int | None]) -> None:
    """Batch by batch, in the order of ids."""
    source = sa.table(table, sa.column("id"), *map(sa.column, lengths))
    some = sa.select(source).where(source.c.id > sa.bindparam("last")).order_by(source.c.id)
    last = 0
    while rows := op.get_bind().execute(some.limit(BATCH), {"last": last}).mappings().all():
        twins = [
            {f"{name}_folded": folded(row[name], length) for name, length in lengths.items()}
            for row in rows
        ]
        write(table, [{"row_id": row["id"], **twin} for row, twin in zip(rows, twins, strict=True)])
        last = rows[-1]["id"]


def folded(text: str | None, length: int | None) -> str | None:
    return text if text is None else fold(text)[:length]


def write(table: str, rows: list[dict[str, str | int | None]]) -> None:
    """PostgreSQL takes a batch in one statement."""
    names = [name for name in rows[0] if name != "row_id"]
    target = sa.table(table, sa.column("id"), *map(sa.column, names))
    if not is_postgresql():
        values = {name: sa.bindparam(name) for name in names}
        one = sa.update(target).where(target.c.id == sa.bindparam("row_id")).values(values)
        op.get_bind().execute(one, rows)
        return
    kinds = (sa.column("row_id", sa.BigInteger), *(sa.column(name, sa.Text) for name in names))
    function = sa.func.json_to_recordset(sa.cast(sa.literal(json.dumps(rows), sa.Text), sa.JSON))
    given = function.table_valued(*kinds).render_derived("given", with_types=True)
    values = {name: given.c[name] for name in names}
    op.get_bind().execute(sa.update(target).where(target.c.id == given.c.row_id).values(values))


def compare_by(*, collation: str) -> None:
    """PostgreSQL makes the indexes of these columns anew."""
    if not is_postgresql():
        return
    for table, columns in PLAIN.items():
        changes = ", ".join(
            f'ALTER COLUMN {name} TYPE VARCHAR({length}) COLLATE "{collation}"'
            for name, length in columns.items()
        )
        op.execute(f"ALTER TABLE {table} {changes}")


def drop_indexes() -> None:
    if is_postgresql():
        for table in SEARCHED:
            op.drop_index(f"ix_{table}_search", table, if_exists=True)
        for column in NULLABLE:
            op.drop_index(f"ix_users_{column}_id_desc", "users")
    for table, columns in SORTED.items():
        for column in columns:
            op.drop_index(f"ix_{table}_{column}_id", table)
    op.drop_index("ix_users_department_id", "users")
    for column in ("email", "username"):
        op.drop_index(f"uq_users_{column}", "users")


def create_indexes(*, folded: bool) -> None:
    """Make them in an order that is always the same."""
    create_unique_indexes()
    for table, columns in SORTED.items():
        for column in columns:
            create_partial_index(f"ix_{table}_{column}_id", table, [key(column, folded), "id"])
    op.create_index("ix_users_department_id", "users", [key("department", folded), "id"])
    if is_postgresql():
        for column in NULLABLE:
            order = [sa.text(f"{key(column, folded)} DESC NULLS LAST"), sa.text("id DESC")]
            create_partial_index(f"ix_users_{column}_id_desc", "users", order)
        create_search_indexes(folded=folded)


def key(column: str, folded: bool) -> str:
    is_twin = any(column in columns for columns in FOLDED.values())
    return f"{column}_folded" if folded and is_twin else column


def create_unique_indexes() -> None:
    """Where both are taken, the e-mail is told: PostgreSQL looks into the oldest index first,
    SQLite into the newest.
    """
    for column in ("email", "username") if is_postgresql() else ("username", "email"):
        create_partial_index(f"uq_users_{column}", "users", [column], unique=True)


def create_partial_index(
    name: str, table: str, columns: list[str | sa.TextClause], *, unique: bool = False
) -> None:
    op.create_index(
        name, table, columns, unique=unique, postgresql_where=PRESENT, sqlite_where=PRESENT
    )


def create_search_indexes(*, folded: bool) -> None:
    """Where the server has the module and lets us use it; without them a search reads the table."""
    try:
        with op.get_bind().begin_nested():
            for table, columns in SEARCHED.items():
                keys = [key(column, folded) for column in columns]
                op.create_index(
                    f"ix_{table}_search",
                    table,
                    keys,
                    postgresql_using="gin",
                    postgresql_ops=dict.fromkeys(keys, "gin_trgm_ops"),
                )
    except DBAPIError as error:
        cause = str(error.orig).partition("\n")[0]
        op.get_context().config.print_stdout("Searches will read whole tables: %s", cause)
