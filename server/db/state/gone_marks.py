"""Marks a conversation as gone: Chatwoot answered 404 for it."""

from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation
from server.core.wire.event_frames import EventBatch
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection
from server.db.state import store
from server.db.state.conversation_edits import ConversationEditor, edit_conversation
from server.errors import NotFound


async def mark_gone(editor: ConversationEditor, integration: Integration, display_id: int) -> bool:
    """Close the conversation, with its event; it can still be read. Returns False where it is not
    known, or was marked before. Raises DatabaseUnavailable.
    """

    async def write(connection: Connection) -> tuple[bool, list[EventBatch]]:
        conversation_id = await store.find_conversation(connection, integration.id, display_id)
        if conversation_id is None:
            raise NotFound

        async def change(working_set: WorkingSet, entry: TrackedConversation) -> bool:
            # found before the lock: its number may be another conversation's by now
            if entry.row.gone_us is not None or entry.row.chatwoot_conversation_id != display_id:
                return False
            working_set.mark_gone(entry, editor.now_us())
            return True

        return await edit_conversation(
            connection, integration.company_id, conversation_id, change, editor.now_us()
        )

    try:
        return await editor.run(write)
    except NotFound:
        return False
