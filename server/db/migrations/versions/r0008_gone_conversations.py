"""When Chatwoot said that it no longer has a conversation."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
