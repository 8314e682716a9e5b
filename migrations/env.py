"""Run migrations on the connection that `identity_service.schema` hands over."""

from alembic import context

from identity_service.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, compare_type=True, compare_server_default=False)
context.run_migrations()
