"""All tables in an empty database; our columns, indexes and values beside the CRM's in one that has
its three tables.
"""

from alembic import context, op

from server.db.migrations import backfill, shape

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what is missing and fill our columns of rows that are there; say in `done` what was
    done.
    """
    connection = op.get_bind()
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(connection)
    done += backfill.fill(connection)
