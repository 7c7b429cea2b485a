"""Columns that say which conversations were compared with Chatwoot: none so far, so the comparison
begins with what is here.
"""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
