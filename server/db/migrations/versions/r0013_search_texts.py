"""The form in which messages and customers are searched."""

from alembic import context, op

from server.db.migrations import fill_search_texts

revision = "0013"
down_revision = "0010"


def upgrade() -> None:
    """Fill them for rows that are there; say in `done` what was done."""
    done: list[str] = context.config.attributes["done"]
    done += fill_search_texts.fill(op.get_bind())
