"""What reconcile found before any webhook told of it; and who compares an integration's history."""

from alembic import context, op

from server.db.migrations import shape

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(op.get_bind())
