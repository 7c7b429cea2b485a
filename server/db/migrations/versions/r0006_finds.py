"""What reconcile found before any webhook told of it; and who compares an integration's history."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
