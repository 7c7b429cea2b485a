"""Integrations that were deleted keep their number for their conversations, and have the name of
their inbox.
"""

from alembic import context, op

from server.db.migrations import shape

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(op.get_bind())
