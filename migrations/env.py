"""Run migrations on the connection of `identity_service.database_schema`, or write their SQL for `make lint`."""

from typing import Any

from alembic import context

from identity_service.database_schema import METADATA

database: dict[str, Any] = (
    {"dialect_name": "postgresql", "literal_binds": True}
    if context.is_offline_mode()
    else {"connection": context.config.attributes["connection"]}
)
context.configure(
    **database,
    target_metadata=METADATA,
    compare_type=True,
    compare_server_default=False,
    # Each gives its locks back before the next begins.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
