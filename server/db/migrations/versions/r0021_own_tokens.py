"""Agents' own access tokens of Chatwoot, and what an integration does when one is refused."""

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
