"""Agents' own access tokens of Chatwoot, and what an integration does when one is refused."""

from alembic import context, op

from server.db.migrations import shape

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
