"""What a reply was asked to be, besides its text: copies, the message it quotes."""

from alembic import context, op

from server.db.migrations import shape

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
