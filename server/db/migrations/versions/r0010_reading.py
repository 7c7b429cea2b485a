"""How far a conversation is read for everyone, as Chatwoot tells."""

from alembic import context, op

from server.db.migrations import shape

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
