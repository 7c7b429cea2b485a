"""Current state: reading conversations and messages of one company, and saving a working set with
its events in one transaction.

Every read names the company; a message is reached only through its conversation. That, and nothing
else, keeps companies apart here.
"""

from server.core.state.entities import Conversation, Message
from server.core.state.tracked import TrackedConversation
from server.db.engine.database import Connection
from server.db.schema.columns import CONVERSATIONS, MESSAGES


async def read_conversation(
    connection: Connection, company_id: int, conversation_id: int
) -> Conversation | None:
    """Return a company's conversation by our id; None if it is not there or another company's."""
    row = await connection.fetch_one(
        f"SELECT {CONVERSATIONS.select[connection.dialect]} FROM social_conversations c WHERE "
        "c.id = :id AND c.company_id = :company_id",
        {"id": conversation_id, "company_id": company_id},
    )
    return CONVERSATIONS.entity(row) if row else None


async def read_company(connection: Connection, conversation_id: int) -> int | None:
    """Whose conversation it is; for those who ask whether it is their own."""
    found = await connection.fetch_value(
        "SELECT company_id FROM social_conversations WHERE id = :id", {"id": conversation_id}
    )
    return None if found is None else int(found)


async def find_conversation(
    connection: Connection, integration_id: int, display_id: int
) -> int | None:
    """The id of a Chatwoot conversation."""
    found = await connection.fetch_value(
        "SELECT id FROM social_conversations WHERE omni_integration_id = :integration_id AND "
        "omni_chatwoot_conversation_id = :display_id",
        {"integration_id": integration_id, "display_id": display_id},
    )
    return None if found is None else int(found)


async def read_message(
    connection: Connection, company_id: int, conversation_id: int, message_id: int
) -> Message | None:
    """Return a message of a company's conversation; None if it is not there or another
    company's.
    """
    row = await connection.fetch_one(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m JOIN "
        "social_conversations c ON c.id = m.conversation_id "
        "WHERE m.id = :id AND m.conversation_id = :conversation_id AND c.company_id = :company_id",
        {"id": message_id, "conversation_id": conversation_id, "company_id": company_id},
    )
    return MESSAGES.entity(row) if row else None


async def read_message_with_integration(
    connection: Connection, company_id: int, message_id: int
) -> tuple[Message, int | None] | None:
    """A message of the company, wherever it is, and its conversation's integration."""
    row = await connection.fetch_one(
        f"SELECT {MESSAGES.select[connection.dialect]}, c.omni_integration_id FROM "
        "social_messages m "
        "JOIN social_conversations c ON c.id = m.conversation_id WHERE m.id = :id AND "
        "c.company_id = :company_id",
        {"id": message_id, "company_id": company_id},
    )
    return (MESSAGES.entity(row), MESSAGES.rest(row)[0]) if row else None


async def track_conversation(
    connection: Connection, company_id: int, conversation_id: int
) -> TrackedConversation | None:
    """A conversation for an agent's own act; read again inside the transaction, after the stream is
    locked.
    """
    conversation = await read_conversation(connection, company_id, conversation_id)
    return TrackedConversation(conversation) if conversation else None
