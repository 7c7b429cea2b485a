"""Which conversations have a reply that was not sent, as a column that an index finds."""

from alembic import context, op

from server.db.migrations import shape, unsent_marks

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add what is missing and mark the rows that are there; say in `done` what was done."""
    connection = op.get_bind()
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(connection)
    done += unsent_marks.fill(connection)
