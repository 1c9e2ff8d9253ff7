from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

NAMING_CONVENTION: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite counts ids up only for INTEGER PRIMARY KEY.
Id: Final = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, zone-aware and in UTC on every database.

    SQLite has no zones: there it is stored without one, in text of one width that sorts by time.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def bind_processor(self, dialect: Dialect) -> Any:
        store = super().bind_processor(dialect)
        if dialect.name != "sqlite" or store is None:
            return store
        return lambda value: store(value and value.astimezone(UTC).replace(tzinfo=None))

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        read = super().result_processor(dialect, coltype)
        if dialect.name != "sqlite" or read is None:
            return read  # The driver's own: no Python runs per value.

        def zoned(value: Any) -> datetime | None:
            moment = read(value)
            return moment and moment.replace(tzinfo=UTC)

        return zoned


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime()}
