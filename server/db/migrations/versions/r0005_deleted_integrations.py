"""Integrations that were deleted keep their number for their conversations, and have the name of
their inbox.
"""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
