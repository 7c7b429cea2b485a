"""When the state of a conversation was told, by our own clock."""

from alembic import context, op

from server.db.migrations import shape

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
