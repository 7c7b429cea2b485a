"""One walk through an integration's Chatwoot at a time, over all processes."""

from alembic import context, op

from server.db.migrations import shape

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
