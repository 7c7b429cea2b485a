"""The agents' socket as a second source: who listens where, a switch for each integration,
conversations by their contact.
"""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
