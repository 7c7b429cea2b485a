"""Which conversations have a reply that was not sent, as a column that an index finds."""

from alembic import context, op

from server.db.migrations import unsent_marks

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Mark the rows that are there; say in `done` what was done."""
    done: list[str] = context.config.attributes["done"]
    done += unsent_marks.fill(op.get_bind())
