"""When Chatwoot said that it no longer has a conversation."""

from alembic import context, op

from server.db.migrations import shape

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(op.get_bind())
