"""Run migrations on the connection that `identity_service.schema` hands over."""

from alembic import context

from identity_service.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    compare_type=True,
    compare_server_default=False,
    # Each gives its locks back before the next begins.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
