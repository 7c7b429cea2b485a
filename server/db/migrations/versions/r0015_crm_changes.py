"""Triggers that note what other programs write to the shared tables."""

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
