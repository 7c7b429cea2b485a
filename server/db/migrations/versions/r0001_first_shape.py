"""All tables in an empty database; our columns, indexes and values beside the CRM's in one that has
its three tables.
"""

from alembic import context, op

from server.db.migrations import backfill

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Fill our columns of rows that are there; say in `done` what was done."""
    done: list[str] = context.config.attributes["done"]
    done += backfill.fill(op.get_bind())
