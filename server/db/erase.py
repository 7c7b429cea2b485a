"""Remove an integration with everything that came through it: for simulated ones, whose numbers begin anew with each run."""

from server.db import columns, eventlog, store
from server.db.database import Connection


async def erase_integration(connection: Connection, integration_id: int) -> None:
    """Its conversations, messages and read marks; clients of its company take a snapshot again."""
    row = await connection.fetch_one("SELECT company_id FROM integrations WHERE id = :id", {"id": integration_id})
    if row is None:
        return
    rows = await connection.fetch_all("SELECT id FROM social_conversations WHERE integration_id = :id", {"id": integration_id})
    numbers = columns.ids(found[0] for found in rows)
    await connection.execute(f"DELETE FROM conversation_reads WHERE conversation_id IN ({numbers})")
    await connection.execute(f"DELETE FROM social_messages WHERE conversation_id IN ({numbers})")
    await connection.execute(f"DELETE FROM social_conversations WHERE id IN ({numbers})")
    await connection.execute("DELETE FROM integrations WHERE id = :id", {"id": integration_id})
    await eventlog.start_epoch(connection, row[0], store.new_epoch())
