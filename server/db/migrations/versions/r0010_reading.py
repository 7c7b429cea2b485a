"""How far a conversation is read for everyone, as Chatwoot tells."""

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
