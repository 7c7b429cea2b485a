"""The agents' socket as a second source: who listens where, a switch for each integration,
conversations by their contact.
"""

from alembic import context, op

from server.db.migrations import shape

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
