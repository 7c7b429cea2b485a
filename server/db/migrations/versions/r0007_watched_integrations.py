"""What Chatwoot lacks or refuses of an integration, and when that was looked at."""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
