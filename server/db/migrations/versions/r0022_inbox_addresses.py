"""Where mail to an inbox goes, and whose its access token is."""

from alembic import context, op

from server.db.migrations import shape

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
