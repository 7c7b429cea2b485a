"""What Chatwoot lacks or refuses of an integration, and when that was looked at."""

from alembic import context, op

from server.db.migrations import shape

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(op.get_bind())
