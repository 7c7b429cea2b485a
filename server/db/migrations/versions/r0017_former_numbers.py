"""Chatwoot's numbers that it has given out again."""

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
