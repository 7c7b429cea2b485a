"""Run by Alembic for each upgrade; the connection comes from `upgrade`, which holds the lock."""

from alembic import context

from server.db.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    target_metadata=metadata,
)
with context.begin_transaction():
    context.run_migrations()
