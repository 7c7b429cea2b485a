"""What a message has besides its text and files."""

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
