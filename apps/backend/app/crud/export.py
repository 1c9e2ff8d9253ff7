"""What an export holds: all that a list shows."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select

from app.crud.listing import Listing, select_whole
from app.schemas.listing import ExportQuery


@dataclass(frozen=True)
class Export:
    """What is exported, and of which kind of record."""

    resource_type: str
    statement: Select[Any]
    query: ExportQuery

    @property
    def names(self) -> list[str]:
        return [str(column["name"]) for column in self.statement.column_descriptions]


def get_export(
    *,
    resource_type: str,
    listing: Listing,
    query: ExportQuery,
    scope: ColumnElement[bool],
    importable: Select[*tuple[Any, ...]] | None = None,
) -> Export:
    columns = importable if query.is_importable and importable is not None else listing.select
    statement = select_whole(columns, listing=listing, query=query.rows, scope=scope)
    return Export(resource_type, statement, query)
