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


async def erase_companies(connection: Connection, first: int, last: int, limit: int) -> int:
    """Everything of companies that were made up for a load run, at most `limit` rows at a time; call again until it returns 0."""
    keys = {"first": first, "last": last, "limit": limit}
    for table, key, condition in _OF_COMPANIES:
        rows = await connection.fetch_all(f"SELECT {key} FROM {table} WHERE {condition} LIMIT :limit", keys)
        if rows:  # what others refer to goes only when they have gone
            found = columns.ids({row[0] for row in rows})
            return await connection.execute(f"DELETE FROM {table} WHERE {condition} AND {key} IN ({found})", {"first": first, "last": last})
    return await _erase_events(connection, keys)


async def _erase_events(connection: Connection, keys: dict[str, int]) -> int:
    """Their key is company and number together."""
    rows = await connection.fetch_all(
        "SELECT company_id, seq FROM inbox_events WHERE company_id BETWEEN :first AND :last ORDER BY company_id, seq LIMIT :limit", keys
    )
    numbers: dict[int, list[int]] = {}
    for company_id, seq in rows:
        numbers.setdefault(company_id, []).append(seq)
    for company_id, seqs in numbers.items():
        await connection.execute(
            f"DELETE FROM inbox_events WHERE company_id = :company_id AND seq IN ({columns.ids(seqs)})", {"company_id": company_id}
        )
    return len(rows)


_RANGE = "company_id BETWEEN :first AND :last"
_CONVERSATIONS = f"conversation_id IN (SELECT id FROM social_conversations WHERE {_RANGE})"
_OF_COMPANIES = (
    ("conversation_reads", "conversation_id", _CONVERSATIONS),
    ("social_messages", "id", _CONVERSATIONS),
    ("social_conversations", "id", _RANGE),
    ("webhook_deliveries", "id", f"integration_id IN (SELECT id FROM integrations WHERE {_RANGE})"),
    ("integrations", "id", _RANGE),
    ("agent_sessions", "agent_id", f"agent_id IN (SELECT id FROM agents WHERE {_RANGE})"),
    ("agents", "id", _RANGE),
    ("event_reach", "id", _RANGE),
    ("inbox_streams", "company_id", _RANGE),
)
