"""Triggers that note what other programs write to the shared tables."""

from alembic import context, op

from server.db.migrations import shape

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
