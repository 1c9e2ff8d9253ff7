"""The indexes that lists read: one for every sort they offer, and one for their search.

All but those of foreign keys leave out the trash, as lists do; the id is the last tie-breaker.
"""

from typing import Final

from sqlalchemy import Index, text

# The key of an index's `info`: it is there only where PostgreSQL has the module pg_trgm.
NEEDS_TRIGRAMS: Final = "needs_trigrams"

present: Final = text("deleted_at IS NULL")
trashed: Final = text("deleted_at IS NOT NULL")


def sort_index(table: str, column: str, *, by: str | None = None) -> Index:
    """Serves both directions, and filters by the column; `by` names the one it is compared by."""
    name = f"ix_{table}_{column}_id"
    return Index(name, by or column, "id", postgresql_where=present, sqlite_where=present)


def descending_index(table: str, column: str, *, by: str | None = None) -> Index:
    """Serves the descending sort of a nullable column on PostgreSQL: the empty ones come last there
    too, and an ascending index has them first when it is read backwards. SQLite's has them last.
    """
    return Index(
        f"ix_{table}_{column}_id_desc",
        text(f"{by or column} DESC NULLS LAST"),
        text("id DESC"),
        postgresql_where=present,
    ).ddl_if(dialect="postgresql")


def search_index(table: str, *columns: str) -> Index:
    """Serves `q` and `_like` on PostgreSQL; a search of SQLite reads the table."""
    return Index(
        f"ix_{table}_search",
        *columns,
        postgresql_using="gin",
        postgresql_ops=dict.fromkeys(columns, "gin_trgm_ops"),
        info={NEEDS_TRIGRAMS: True},
    ).ddl_if(dialect="postgresql")
