"""Alembic's entry: runs on the connection that `Index.migrate` passes."""

from __future__ import annotations

from alembic import context

from node.storage.index.schema import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
context.run_migrations()
