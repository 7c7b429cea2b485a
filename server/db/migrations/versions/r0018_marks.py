"""What the list marks conversations with."""

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
