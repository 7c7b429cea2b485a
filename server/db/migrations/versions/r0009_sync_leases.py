"""One walk through an integration's Chatwoot at a time, over all processes."""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
