"""What the list marks conversations with."""

from alembic import context, op

from server.db.migrations import shape

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
