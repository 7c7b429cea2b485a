"""When the state of a conversation was told, by our own clock."""

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
