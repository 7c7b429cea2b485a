"""How far a conversation is read for everyone, as Chatwoot tells."""

from alembic import context, op

from server.db.migrations import shape

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    context.config.attributes["done"] += shape.complete(op.get_bind())
