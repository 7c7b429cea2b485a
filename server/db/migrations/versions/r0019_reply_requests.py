"""What a reply was asked to be, besides its text: copies, the message it quotes."""

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
