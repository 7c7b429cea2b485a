"""What a message has besides its text and files."""

from alembic import context, op

from server.db.migrations import shape

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
