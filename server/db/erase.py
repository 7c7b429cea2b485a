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


async def erase_company(connection: Connection, company_id: int, limit: int) -> int:
    """Everything of a company that was made up for a load run, at most `limit` rows at a time; call again until it returns 0."""
    keys = {"company_id": company_id, "limit": limit}
    gone = 0
    for table, key, condition in _OF_A_COMPANY:
        rows = await connection.fetch_all(f"SELECT {key} FROM {table} WHERE {condition} LIMIT :limit", keys)
        if rows:
            gone += await connection.execute(
                f"DELETE FROM {table} WHERE {condition} AND {key} IN ({columns.ids(row[0] for row in rows)})", {"company_id": company_id}
            )
            return gone  # what others refer to goes only when they have gone
    return gone


_CONVERSATIONS = "conversation_id IN (SELECT id FROM social_conversations WHERE company_id = :company_id)"
_OF_A_COMPANY = (
    ("conversation_reads", "conversation_id", _CONVERSATIONS),
    ("social_messages", "id", _CONVERSATIONS),
    ("social_conversations", "id", "company_id = :company_id"),
    ("webhook_deliveries", "id", "integration_id IN (SELECT id FROM integrations WHERE company_id = :company_id)"),
    ("integrations", "id", "company_id = :company_id"),
    ("agent_sessions", "agent_id", "agent_id IN (SELECT id FROM agents WHERE company_id = :company_id)"),
    ("agents", "id", "company_id = :company_id"),
    ("inbox_events", "seq", "company_id = :company_id"),
    ("inbox_streams", "company_id", "company_id = :company_id"),
)
