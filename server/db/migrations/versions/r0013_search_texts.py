"""The form in which messages and customers are searched."""

from alembic import context, op

from server.db.migrations import fill_search_texts, shape

revision = "0013"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns and fill them for rows that are there; say in `done` what was done."""
    connection = op.get_bind()
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(connection)
    done += fill_search_texts.fill(connection)
