"""Which conversations should still be there in Chatwoot."""

from server.db.engine.sql_connection import Connection
from server.db.schema.crm_words import IS_CLOSED


async def read_open(connection: Connection, integration_id: int) -> dict[int, str]:
    """Chatwoot's number of each conversation that is open here -> its state there."""
    rows = await connection.fetch_all(
        "SELECT omni_chatwoot_conversation_id, omni_chatwoot_status FROM social_conversations "
        f"WHERE omni_integration_id = :id AND NOT COALESCE({IS_CLOSED.format('status')}, FALSE) "
        "AND omni_gone_at IS NULL AND omni_chatwoot_conversation_id IS "
        "NOT NULL",
        {"id": integration_id},
    )
    return {display_id: status or "open" for display_id, status in rows}
