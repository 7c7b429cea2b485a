"""Accepts replies: kept with their event before anything is sent."""

import sys
import uuid
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from server.core.state.delivery import may_be_sent_again, with_discard
from server.core.state.entities import Discard, Message
from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation, TrackedMessage
from server.core.wire.event_frames import EventBatch
from server.db.access.agent_rows import Agent
from server.db.engine.database import Connection, Database
from server.db.state import outbox, outgoing_files
from server.db.state.conversation_edits import edit_conversation
from server.errors import Conflict, ConversationGone, IdempotencyKeyReused
from server.integrations.directory import Directory
from server.outgoing.new_replies import (
    Draft,
    check_key,
    check_seen,
    check_window,
    checked_content,
    differs,
    fresh_key,
    new_messages,
    read_twin,
)
from server.outgoing.reply_edits import ReplyEdits
from server.outgoing.reply_files import Kept, ReplyFiles, Upload
from server.outgoing.reply_wishes import NO_WISH, Wish, requested
from server.outgoing.sending_integration import sending_integration

_Put = tuple[list[TrackedMessage], int]  # a reply's messages, and which one is answered with


class ReplyIntake:
    """Keeps new replies and those that people send again."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        publish: Callable[[EventBatch], None],
        files: ReplyFiles,
        *,
        on_new: Callable[[], None],
    ) -> None:
        """`on_new` is called after each commit: a reply may be sent."""
        self._database = database
        self._directory = directory
        self._files = files
        self._edits = ReplyEdits(database, publish, on_new)
        self._editor = self._edits.editor
        self._on_new = on_new

    async def submit(
        self,
        agent: Agent,
        conversation_id: int,
        content: str,
        *,
        key: str | None,
        fresh_key: str | None = None,
        last_seen: int | None,
        is_private: bool = False,
        uploads: Sequence[Upload] = (),
        wish: Wish = NO_WISH,
    ) -> tuple[Message, bool]:
        """Keep a reply, to be sent. Returns (message, whether it is new); where its channel needs
        several messages for it, the one with the text. Without `key` an equal one of the last
        minute is the same reply, and a new one is known by `fresh_key`. Raises BadRequest,
        NotFound, NoChatwootIntegration, IdempotencyKeyReused, WindowClosed, NewerMessages;
        NewerMessages carries them.
        """
        content = checked_content(content, has_files=bool(uploads))
        check_key(key)
        draft = Draft(
            agent,
            conversation_id,
            content,
            key,
            client_id=key or fresh_key or self.fresh_key(),
            last_seen=last_seen,
            is_private=is_private,
            kept=await self._files.keep(uploads) if uploads else Kept("", ()),
            wish=wish.checked(),
        )
        message, is_new = await self._editor.run(
            lambda c: self._write(c, draft), held_bytes=sys.getsizeof(content)
        )
        self._on_new()
        return message, is_new

    async def _write(
        self, connection: Connection, draft: Draft
    ) -> tuple[tuple[Message, bool], list[EventBatch]]:
        async def change(working_set: WorkingSet, entry: TrackedConversation) -> Message | _Put:
            return await self._put(connection, working_set, entry, draft)

        now_us = self._editor.now_us()
        found, batches = await edit_conversation(
            connection, draft.agent.company_id, draft.conversation_id, change, now_us
        )
        if isinstance(found, Message):  # it was taken in before
            return (found, False), batches
        messages, answered = found
        lines, first = list(draft.kept.lines), 0
        for message in messages:
            count = len(message.row.attachments)
            outgoing_files.pipeline_lines(
                connection,
                draft.kept.id,
                message.row.id,
                lines[first : first + count],
                now_us,
                first=first,
            )
            first += count
        return (messages[answered].row, True), batches

    async def _put(
        self,
        connection: Connection,
        working_set: WorkingSet,
        entry: TrackedConversation,
        draft: Draft,
    ) -> Message | _Put:
        """The message as it is known already, or new ones."""
        if entry.row.gone_us is not None:
            raise ConversationGone
        if (known := await self._known_by_key(connection, draft)) is not None:
            return known
        now_us = await self._database.clock.read(connection)
        if draft.key is None and (twin := await read_twin(connection, draft, now_us)) is not None:
            return twin
        company_id, row = draft.agent.company_id, entry.row
        sending_integration(
            self._directory, company_id, row.integration_id, row.chatwoot_conversation_id
        )
        check_window(row, draft, now_us)
        if draft.last_seen is not None:
            await check_seen(connection, draft.agent, draft.conversation_id, draft.last_seen)
        request = await requested(connection, row, draft.wish, is_private=draft.is_private)
        messages, answered = new_messages(draft, row.channel, request, now_us)
        return [
            working_set.put_message(entry, message, now_us, now_us) for message in messages
        ], answered

    async def _known_by_key(self, connection: Connection, draft: Draft) -> Message | None:
        known = await outbox.read_reply(connection, draft.conversation_id, draft.client_id)
        if known is not None and (
            known.is_private != draft.is_private or await differs(connection, known, draft)
        ):
            raise IdempotencyKeyReused
        return known

    def fresh_key(self) -> str:
        """A name for a reply whose client gave it none. It begins with its time, so that the ones
        of the last minute are found.
        """
        return fresh_key(self._database.clock.now_us(), uuid.uuid4().hex)

    async def retry(self, agent: Agent, conversation_id: int, message_id: int) -> Message:
        """Send a failed reply again, or have Chatwoot hand a message that its channel refused to
        the channel once more. Raises NotFound, or Conflict when it has not failed.
        """

        def renewed(message: Message) -> Message:
            if message.delivery_state == "sending":
                return message
            is_here = message.client_id is not None and message.chatwoot_message_id is None
            if not ((message.delivery_state == "failed" and is_here) or may_be_sent_again(message)):
                raise Conflict("Only a message that has failed can be sent again")
            # Chatwoot may still be at work on the attempt we gave up on
            now_us = self._database.clock.now_us()
            begun = replace(
                message,
                delivery_state="sending",
                delivery_error=None,
                delivery_attempts=0,
                observed_us=now_us,
                is_outcome_unknown=message.is_outcome_unknown and is_here,
                answered_us=None if not is_here else message.answered_us,
            )
            return replace(begun, next_attempt_us=max(now_us, message.next_attempt_us or 0))

        return await self._edits.change(agent.company_id, conversation_id, message_id, renewed)

    async def discard(self, agent: Agent, conversation_id: int, message_id: int) -> Message:
        """Have a failed message sent no more: its row in the list reminds of it no longer. Any
        agent of the company may, and the message names who did. Raises NotFound, or Conflict when
        it has not failed.
        """
        by = Discard(agent.id, agent.name)
        return await self._edits.change(
            agent.company_id, conversation_id, message_id, lambda message: with_discard(message, by)
        )
