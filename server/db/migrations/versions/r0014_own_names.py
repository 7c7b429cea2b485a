"""Tables and columns of this program have names that nobody else's have.

The renaming itself is done before any revision runs (`own_names`): what came before this one is
asked for under today's names.
"""

from alembic import context, op

from server.db.migrations import shape

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the tables and columns that are missing; say in `done` which."""
    context.config.attributes["done"] += shape.complete(op.get_bind())
