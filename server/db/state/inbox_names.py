"""The names of inboxes beside the stored conversations: reading and renaming them, a batch at a
time.
"""

from collections.abc import Sequence

import msgspec

from server.core.state.marks import Marks
from server.db.engine.database import Connection
from server.db.schema.columns import ids
from server.db.state import eventlog

_decode = msgspec.json.Decoder(Marks).decode


async def read_other_names(
    connection: Connection, integration_id: int, name: str, after: int, limit: int
) -> tuple[list[tuple[int, int]], int | None]:
    """(seq, id) of an integration's conversations that bear another name, of the next `limit` with
    an id above `after`; and the id to go on from, None at the end.
    """
    rows = await connection.fetch_all(
        "SELECT id, omni_seq, omni_marks FROM social_conversations WHERE "
        "omni_integration_id = :integration_id AND id > :after ORDER BY id LIMIT :limit",
        {"integration_id": integration_id, "after": after, "limit": limit},
    )
    found = [(seq or 0, number) for number, seq, marks in rows if _name_in(marks) != name]
    return found, rows[-1][0] if len(rows) == limit else None


async def write_name(
    connection: Connection, company_id: int, conversation_ids: Sequence[int], name: str
) -> None:
    """Give these conversations the name. Nobody else changes them meanwhile; no event is written,
    and the CRM's time of their last change stays. Raises CompanyBusy.
    """
    await eventlog.lock_streams(connection, [company_id])
    await connection.execute(
        "UPDATE social_conversations SET omni_marks = JSON_SET(COALESCE(omni_marks, '{}'), "
        f"'$.inbox_name', :name), updated_at = updated_at WHERE id IN ({ids(conversation_ids)})",
        {"name": name},
    )


def _name_in(marks: str | None) -> str | None:
    return _decode(marks).inbox_name if marks else None
