"""Everything that is kept of one contact: finding it, and erasing it for good."""

from collections.abc import Iterable, Sequence

import msgspec

from server.db.engine.database import Connection
from server.db.schema import columns
from server.db.state import crm_notes, eventlog

_MAX_CONVERSATIONS = 1_000


class Kept(msgspec.Struct, frozen=True):
    """What there is of a contact. `conversations`: (our number, Chatwoot's number or None)."""

    integration_id: int | None
    contact_id: int | None
    conversations: list[tuple[int, int | None]]


async def find_contact(
    connection: Connection, company_id: int, conversation_id: int
) -> Kept | None:
    """The contact of a conversation with all its conversations; without a number in Chatwoot, that
    conversation alone.
    """
    row = await connection.fetch_one(
        "SELECT omni_integration_id, omni_contact, omni_chatwoot_conversation_id FROM "
        "social_conversations WHERE id = :id AND company_id = :company_id",
        {"id": conversation_id, "company_id": company_id},
    )
    if row is None:
        return None
    integration_id, contact, display_id = row
    contact_id = columns.contact_number(contact)
    if integration_id is None or contact_id is None:
        return Kept(integration_id, contact_id, [(conversation_id, display_id)])
    rows = await connection.fetch_all(
        "SELECT id, omni_chatwoot_conversation_id, omni_contact FROM social_conversations "
        "WHERE company_id = :company_id AND omni_integration_id = :integration_id AND "
        "omni_contact LIKE :pattern ORDER BY id LIMIT :limit",
        {
            "company_id": company_id,
            "integration_id": integration_id,
            "pattern": f'%"id":{contact_id}%',
            "limit": _MAX_CONVERSATIONS,
        },
    )
    return Kept(
        integration_id,
        contact_id,
        [(one[0], one[1]) for one in rows if columns.contact_number(one[2]) == contact_id],
    )


async def find_conversations(
    connection: Connection, integration_ids: Sequence[int], contact_id: int
) -> list[tuple[int, int]]:
    """(integration, Chatwoot's number) of a contact's conversations, the newest first."""
    if not integration_ids:
        return []
    rows = await connection.fetch_all(
        "SELECT omni_integration_id, omni_chatwoot_conversation_id FROM social_conversations "
        f"WHERE omni_integration_id IN ({columns.ids(integration_ids)}) AND external_user_id "
        "LIKE :pattern ESCAPE '=' "
        "AND omni_chatwoot_conversation_id IS NOT NULL ORDER BY id DESC LIMIT :limit",
        {"pattern": f"chatwoot=_{contact_id}=_%", "limit": _MAX_CONVERSATIONS},
    )
    return [(integration_id, display_id) for integration_id, display_id in rows]


async def erase_conversations(
    connection: Connection, company_id: int, conversation_ids: Iterable[int]
) -> int:
    """With all that hangs on them; the event log begins a new life, as events hold messages.
    Returns how many messages went.
    """
    await eventlog.lock_streams(connection, [company_id])
    numbers = columns.ids(conversation_ids)
    messages = f"SELECT id FROM social_messages WHERE conversation_id IN ({numbers})"
    await connection.execute(
        "DELETE FROM omni_outgoing_pieces WHERE upload IN (SELECT upload FROM "
        f"omni_outgoing_files WHERE message_id IN ({messages}))"
    )
    await connection.execute(f"DELETE FROM omni_outgoing_files WHERE message_id IN ({messages})")
    await connection.execute(
        f"DELETE FROM omni_conversation_reads WHERE conversation_id IN ({numbers})"
    )
    count = await connection.execute(
        f"DELETE FROM social_messages WHERE conversation_id IN ({numbers})"
    )
    await connection.execute(f"DELETE FROM social_conversations WHERE id IN ({numbers})")
    await crm_notes.forget(connection, f"conversation_id IN ({numbers})")
    await eventlog.start_epoch(connection, company_id)
    return count


async def read_journal_page(
    connection: Connection, integration_id: int | None, after_id: int, limit: int
) -> list[tuple[int, str, bool]]:
    """(number, body, whether it is the integration's) of deliveries of an integration, and of those
    that none took, in order.

    Of the latter the caller has to tell whose they are.
    """
    rows = await connection.fetch_all(
        "SELECT id, body, integration_id FROM omni_webhook_deliveries WHERE id > :after "
        "AND (integration_id = :integration_id OR integration_id IS NULL) "
        "ORDER BY id LIMIT :limit",
        {"after": after_id, "integration_id": integration_id, "limit": limit},
    )
    return [(number, body, owner is not None) for number, body, owner in rows]


async def blank_deliveries(connection: Connection, delivery_ids: Iterable[int]) -> int:
    """Their bodies go; that they came stays. One that was not dealt with yet never will be."""
    return await connection.execute(
        "UPDATE omni_webhook_deliveries SET body = '{}', headers = NULL, reason = 'erased', "
        "state = CASE state WHEN 'done' THEN 'done' ELSE 'ignored' END "
        f"WHERE id IN ({columns.ids(delivery_ids)})"
    )
