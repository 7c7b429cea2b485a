"""What is known here of a conversation that was read to its end."""

import msgspec

from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList
from server.db.schema import columns


class Known(msgspec.Struct, frozen=True):
    """`newest_number`: the greatest of Chatwoot's message numbers."""

    inbound_count: int
    newest_number: int


class Place(msgspec.Struct, frozen=True):
    """Where a conversation is at Chatwoot, and its channel."""

    integration_id: int
    display_id: int
    channel: str | None


async def read_place(connection: Connection, company_id: int, conversation_id: int) -> Place | None:
    """Return where the company's conversation is; None where Chatwoot has none."""
    row = await connection.fetch_one(
        "SELECT omni_integration_id, omni_chatwoot_conversation_id, omni_channel "
        "FROM social_conversations WHERE id = :id AND company_id = :company_id "
        "AND omni_gone_at IS NULL AND omni_integration_id IS NOT NULL "
        "AND omni_chatwoot_conversation_id IS NOT NULL",
        {"id": conversation_id, "company_id": company_id},
    )
    return None if row is None else Place(*row)


async def read_known(connection: Connection, conversation_id: int) -> Known | None:
    """Return the conversation's counts and its newest number of Chatwoot's; None if it is gone."""
    row = await connection.fetch_one(
        "SELECT c.omni_inbound_count, "
        "(SELECT MAX(m.omni_chatwoot_message_id) FROM social_messages m WHERE m.conversation_id "
        "= c.id) "
        "FROM social_conversations c WHERE c.id = :id AND c.omni_gone_at IS NULL",
        {"id": conversation_id},
    )
    if row is None:
        return None
    inbound_count, newest_number = row
    return Known(inbound_count, newest_number or 0)


async def read_unread(connection: Connection, places: dict[int, set[int]]) -> set[tuple[int, int]]:
    """(integration, Chatwoot's number) of those that are not read for everyone."""
    found: set[tuple[int, int]] = set()
    for integration_id, display_ids in places.items():
        numbers = await connection.fetch_column(
            "SELECT c.omni_chatwoot_conversation_id FROM social_conversations c "
            f"WHERE c.omni_integration_id = {columns.ids([integration_id])} AND "
            "c.omni_chatwoot_conversation_id IN (:numbers) "
            "AND c.omni_inbound_count > c.omni_read_count",
            {"numbers": IntList(display_ids)},
        )
        found |= {(integration_id, number) for number in numbers}
    return found
