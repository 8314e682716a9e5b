"""The declarative base with the naming convention of constraints, and column types."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar

from sqlalchemy import DateTime, Dialect, MetaData, TypeDecorator
from sqlalchemy.orm import DeclarativeBase

from identity_service.database.privacy import TablePrivacy

READ_ONLY = "read_only"
"""Key in a table's `info`: the application's role may only SELECT; `migrate` writes the rows."""
APPEND_ONLY = "append_only"
"""Key in a table's `info`: the application's role may only INSERT and SELECT; a trigger refuses the rest."""
LOCK_ONLY = "lock_only"
"""Key in a table's `info`: the application's role may SELECT and lock its row; a function of the owner changes it."""


def one_of(column: str, values: Iterable[str]) -> str:
    """Return the SQL condition that restricts a text column to these values."""
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


class Base(DeclarativeBase):
    """The declarative base: constraints get predictable names, and each table declares its `privacy`."""

    privacy: ClassVar[TablePrivacy]

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A date-time in UTC; a naive one raises ValueError before it reaches the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a date-time without a time zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a date-time needs a time zone")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to UTC from the time zone of the database session."""
        return None if value is None else value.astimezone(UTC)
