"""Where mail to an inbox goes, and whose its access token is."""

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
