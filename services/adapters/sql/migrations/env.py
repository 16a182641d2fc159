"""Alembic's entry: runs the migrations on the connection, and in the transaction, that `migrate.upgrade` opened."""

from alembic import context

from services.adapters.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a column only by copying the table
    transactional_ddl=True,
)
context.run_migrations()
