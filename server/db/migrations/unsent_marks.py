"""The mark of conversations with a reply that was not sent, in rows that are older than its column.

Only what is missing is marked, so a run that was interrupted goes on where it stopped.
"""

from sqlalchemy import Connection

from server.db.migrations import backfill
from server.db.schema.columns import ids

_ROWS = 500  # locked at once
# in our JSON; the same in what somebody wrote has a backslash before each quotation mark
_UNMARKED = (
    "SELECT id FROM social_conversations WHERE omni_is_unsent = 0 AND omni_preview LIKE "
    "'%\"unsent\":{%' ORDER BY id"
)


def fill(connection: Connection) -> list[str]:
    """Mark them. Returns sentences with counts. Blocks; killing it loses nothing."""
    found = [int(number) for (number,) in backfill.run(connection, _UNMARKED).all()]
    keep = backfill.keep_of(connection, "social_conversations")
    for start in range(0, len(found), _ROWS):
        part = ids(found[start : start + _ROWS])
        backfill.run(
            connection,
            f"UPDATE social_conversations SET omni_is_unsent = 1{keep} WHERE id IN ({part})",
        )
    return [f"marked {len(found)} conversations with a reply that was not sent"] if found else []
