"""Columns that say which conversations were compared with Chatwoot: none so far, so the comparison
begins with what is here.
"""

from alembic import context, op

from server.db.migrations import shape

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(op.get_bind())
