"""One change of a reply that is kept already, with its event."""

from collections.abc import Callable

from server.core.state.entities import Message
from server.core.state.projection import WorkingSet
from server.core.state.reply_outcomes import Settle
from server.core.state.tracked import TrackedConversation, TrackedMessage
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.state import store
from server.db.state.conversation_edits import ConversationEditor, edit_conversation
from server.errors import NotFound


class ReplyEdits:
    """Changes replies, and publishes their events after the commit."""

    def __init__(
        self,
        database: Database,
        publish: Callable[[EventBatch], None],
        on_changed: Callable[[], None],
    ) -> None:
        """`on_changed` is called after each commit: something may be due."""
        self.editor = ConversationEditor(database, publish)
        self._on_changed = on_changed

    async def change(
        self, company_id: int, conversation_id: int, message_id: int, change: Settle
    ) -> Message:
        """Store what `change` makes of the reply. Returns it as stored. Raises NotFound, or what a
        transaction may.
        """

        async def write(connection: Connection) -> tuple[Message, list[EventBatch]]:
            now_us = self.editor.now_us()

            async def set_message(
                working_set: WorkingSet, entry: TrackedConversation
            ) -> TrackedMessage:
                message = await store.read_message(
                    connection, company_id, conversation_id, message_id
                )
                if message is None:
                    raise NotFound
                tracked_message = TrackedMessage(message)
                entry.messages.append(tracked_message)
                working_set.set_message(entry, tracked_message, change(message), now_us, now_us)
                return tracked_message

            found, batches = await edit_conversation(
                connection, company_id, conversation_id, set_message, now_us
            )
            return found.row, batches

        message = await self.editor.run(write)
        self._on_changed()
        return message
