"""Tables and columns of this program have names that nobody else's have.

The renaming itself is done before any revision runs (`own_names`): what came before this one is
asked for under today's names.
"""

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """What it added is there before any revision runs (`shape.complete`)."""
