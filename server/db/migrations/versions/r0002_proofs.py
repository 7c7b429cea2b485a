"""Integrations that are older than proofs go on receiving what they received, until Chatwoot has
been asked (`server/integrations/proofs.py`).
"""

from alembic import context, op

from server.db.migrations import shape, trusted_integrations

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what is missing and trust integrations that are there; say in `done` what was done."""
    connection = op.get_bind()
    done: list[str] = context.config.attributes["done"]
    done += shape.complete(connection)
    done += trusted_integrations.trust_older(connection)
