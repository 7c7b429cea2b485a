"""What an agent reads and does: lists, threads, read marks, status. The REST endpoints and the
pages both use it.

Everything takes the agent and looks only inside that agent's company.
"""

from collections.abc import AsyncIterator, Callable
from functools import partial

from msgspec.structs import replace

from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
)
from server.core.identifiers import parse_digits
from server.core.state.conversation_changes import with_inbox
from server.core.state.cursors import Cursor
from server.core.state.entities import Conversation, Json, Message
from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation
from server.core.state.views import agent_view, message_view
from server.core.times import SECOND
from server.core.wire.event_frames import EventBatch
from server.db.access.agent_rows import Agent
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.state import (
    eventlog,
    lists,
    store,
    threads,
)
from server.db.state.conversation_edits import ConversationEditor, edit_conversation
from server.db.state.gone_marks import mark_gone
from server.db.state.lists import Filters
from server.errors import (
    BadRequest,
    ChatwootFailed,
    ConversationGone,
    DatabaseUnavailable,
    NotFound,
    OutcomeUnknown,
)
from server.integrations.directory import Directory
from server.integrations.own_tokens import OwnTokens

STATUSES = ("Open", "Closed")
_PAGE = 500
_NOT_FOUND = 404
# open in our list; to open one wakes it in Chatwoot
_ASLEEP = ("snoozed", "pending")
_CHATWOOT_STATUS = {"Open": "open", "Closed": "resolved"}
# the end of year 9999: no row of ours is later, and no DATETIME could be
_LATEST_US = 253_402_300_799 * SECOND

Publish = Callable[[EventBatch], None]
ClientOf = Callable[[Integration], ChatwootClient]
OnRead = Callable[[Conversation, int], None]


class Inbox:
    """Reads, and the acts that change state with an event."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        publish: Publish,
        client_of: ClientOf,
        on_read: OnRead = lambda row, count: None,
        *,
        own_tokens: OwnTokens,
    ) -> None:
        """`on_read` gets a conversation and how far an agent has read it, after the commit."""
        self._own_tokens = own_tokens
        self._on_read = on_read
        self._database = database
        self._directory = directory
        self._editor = ConversationEditor(database, publish)
        self._client_of = client_of

    async def page(
        self, agent: Agent, filters: Filters, limit: int
    ) -> tuple[list[Json], str | None]:
        """One page of the list, and the place to go on from while there is more. Raises
        DatabaseUnavailable.
        """
        found = await self._database.read(
            lambda c: lists.list_conversations(c, agent.company_id, agent.id, filters, limit + 1)
        )
        views = [self._view(conversation, read_count) for conversation, read_count in found[:limit]]
        last = found[limit - 1][0] if len(found) > limit else None
        return (
            views,
            None
            if last is None
            else f"{'' if last.last_message_us is None else last.last_message_us}_{last.id}",
        )

    async def pages(self, agent: Agent, filters: Filters) -> AsyncIterator[list[Json]]:
        """The whole list, page after page; memory holds one page, and the numbers of the others.

        Which conversations, and in which order, is of one moment: a row that moves up while the
        answer is on its way would be missing in pages that are read by their edges. The rows
        themselves may be newer than that, as they may be newer than the answer's tag.
        """
        found = await self._database.read(
            lambda c: lists.list_conversations(c, agent.company_id, agent.id, filters, _PAGE)
        )
        if len(found) < _PAGE:
            yield [self._view(conversation, read_count) for conversation, read_count in found]
            return
        ids = await self._database.read(lambda c: lists.list_ids(c, agent.company_id, filters))
        shown = 0
        # nothing has moved since: no row twice
        if ids[:_PAGE] == [conversation.id for conversation, _ in found]:
            yield [self._view(conversation, read_count) for conversation, read_count in found]
            shown = _PAGE
        for start in range(shown, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            found = await self._database.read(
                # awaited at once
                lambda c: lists.read_listed(c, agent.company_id, agent.id, page, filters)  # noqa: B023
            )
            yield [self._view(conversation, read_count) for conversation, read_count in found]

    async def unread(self, agent: Agent) -> tuple[dict[str, int], Cursor | None]:
        """Counts conversations, open and closed, in which there is something this agent has not
        read, and (`unsent`) those with a reply that was not sent: in all, not in one page.

        With the place in the log at which that is so; None: nothing was ever logged.
        """

        async def read(connection: Connection) -> tuple[dict[str, int], Cursor | None]:
            stream = (await eventlog.read_streams(connection, [agent.company_id])).get(
                agent.company_id
            )
            counts = await lists.count_unread(connection, agent.company_id, agent.id)
            unsent = await lists.count_unsent(connection, agent.company_id)
            at = None if stream is None else Cursor(stream.epoch, stream.head)
            return {status: counts.get(status, 0) for status in STATUSES} | {"unsent": unsent}, at

        return await self._database.snapshot(read)

    async def conversation(self, agent: Agent, conversation_id: int) -> Json:
        """The conversation as the agent sees it. Raises NotFound, also for another company's."""

        async def read(connection: Connection) -> Json:
            conversation = await _conversation(connection, agent, conversation_id)
            return self._view(
                conversation, await lists.read_read_count(connection, agent.id, conversation_id)
            )

        return await self._database.read(read)

    async def thread(
        self,
        agent: Agent,
        conversation_id: int,
        *,
        limit: int | None = None,
        before: int | None = None,
    ) -> Json:
        """The conversation with `messages`, oldest first: all, or the newest `limit` before a
        message id. Raises NotFound.
        """

        async def read(connection: Connection) -> Json:
            conversation = await _conversation(connection, agent, conversation_id)
            view = self._view(
                conversation, await lists.read_read_count(connection, agent.id, conversation_id)
            )
            edge = (
                await _edge(connection, agent, conversation_id, before)
                if before is not None
                else None
            )
            messages = await _messages(connection, agent, conversation_id, limit, edge)
            view["messages"] = [message_view(message) for message in messages]
            return view

        # or the conversation might not know yet of a message that is in the list
        return await self._database.snapshot(read)

    async def mark_read(self, agent: Agent, conversation_id: int, message_id: int) -> Json:
        """Marks what this agent has read, up to a message; an event where that is further than
        before. Raises NotFound.
        """

        async def write(connection: Connection) -> tuple[Json, list[EventBatch]]:
            async def change(working_set: WorkingSet, entry: TrackedConversation) -> Json:
                message = await store.read_message(
                    connection, agent.company_id, conversation_id, message_id
                )
                if message is None:
                    raise NotFound
                count = await threads.count_inbound(connection, message)
                own = await lists.read_read_count(connection, agent.id, conversation_id)
                if count <= max(entry.row.read_count, own):
                    return self._view(entry.row, own)
                now_us = self._editor.now_us()
                await lists.write_read_count(
                    connection, agent.id, conversation_id, count, message_id, now_us
                )
                working_set.add_agent_read(entry, agent.id, count, message_id, now_us)
                connection.after_commit(partial(self._on_read, entry.row, count))
                return self._view(entry.row, count)

            return await edit_conversation(
                connection, agent.company_id, conversation_id, change, self._editor.now_us()
            )

        return await self._editor.run(write)

    async def set_status(self, agent: Agent, conversation_id: int, status: str) -> Json:
        """Opens or closes a conversation, in Chatwoot first where it comes from there, under the
        agent's own name where they have connected a token. Raises NotFound or ChatwootFailed.
        """
        before = await self._database.read(lambda c: _conversation(c, agent, conversation_id))
        integration = self._directory.of_company(agent.company_id, before.integration_id)
        is_gone, chatwoot_status = before.gone_us is not None, before.chatwoot_status
        if (
            integration is not None
            and not is_gone
            and before.chatwoot_conversation_id is not None
            and (before.status != status or (status == "Open" and chatwoot_status in _ASLEEP))
        ):
            there = await self._set_there(
                agent, integration, before.chatwoot_conversation_id, status
            )
            is_gone, chatwoot_status = there is None, there or chatwoot_status
        if is_gone:
            if status == "Open":
                raise ConversationGone
            return await self.conversation(agent, conversation_id)
        try:
            return await self._write_status(agent, conversation_id, status, chatwoot_status)
        except DatabaseUnavailable:
            if chatwoot_status == before.chatwoot_status:
                raise
            # only half of it is undone by a rollback: the other half stands in Chatwoot, and comes
            # here by its webhook
            raise OutcomeUnknown(
                "Chatwoot has changed the status; it shows here in a moment"
            ) from None

    def _view(self, conversation: Conversation, read_count: int) -> Json:
        """What was stored before any message named the inbox has the name that Chatwoot tells."""
        if conversation.integration_id is not None and conversation.marks.inbox_name is None:
            name = self._directory.inbox_name(conversation.integration_id)
            conversation = with_inbox(conversation, name)
        return agent_view(conversation, read_count)

    async def _write_status(
        self, agent: Agent, conversation_id: int, status: str, chatwoot_status: str | None
    ) -> Json:
        async def write(connection: Connection) -> tuple[Json, list[EventBatch]]:
            now_us = self._editor.now_us()

            async def change(
                working_set: WorkingSet, entry: TrackedConversation
            ) -> TrackedConversation:
                row = replace(entry.row, status=status, chatwoot_status=chatwoot_status)
                working_set.set_conversation(entry, row, now_us, now_us)
                return entry

            entry, batches = await edit_conversation(
                connection, agent.company_id, conversation_id, change, now_us
            )
            own = await lists.read_read_count(connection, agent.id, conversation_id)
            return self._view(entry.row, own), batches

        return await self._editor.run(write)

    async def _set_there(
        self, agent: Agent, integration: Integration, display_id: int, status: str
    ) -> str | None:
        """Sets the status in Chatwoot, and returns the one it has now; None when it no longer has
        the conversation, which is marked then. Raises ChatwootFailed.
        """
        try:
            return await self._own_tokens.run(
                agent.id,
                integration,
                self._client_of,
                lambda client: client.toggle_status(display_id, _CHATWOOT_STATUS[status]),
            )
        except ChatwootOutcomeUnknown as error:
            raise ChatwootFailed(
                f"Look whether Chatwoot has changed the status: {error.message}"
            ) from None
        except ChatwootError as error:
            if not isinstance(error, ChatwootRefused) or error.chatwoot_status != _NOT_FOUND:
                raise ChatwootFailed(
                    f"Chatwoot did not change the status: {error.message}"
                ) from None
        await mark_gone(self._editor, integration, display_id)
        return None


def parse_place(text: str) -> tuple[int | None, int]:
    """The place a page ended at, as `page` gave it. Raises BadRequest."""
    moment, _, number = text.partition("_")
    message_id, moment_us = parse_digits(number), parse_digits(moment, _LATEST_US)
    if message_id is None or (moment and moment_us is None):
        raise BadRequest("before must be taken from the Link of the page before")
    return moment_us, message_id


async def _conversation(connection: Connection, agent: Agent, conversation_id: int) -> Conversation:
    conversation = await store.read_conversation(connection, agent.company_id, conversation_id)
    if conversation is None:
        raise NotFound
    return conversation


async def _edge(connection: Connection, agent: Agent, conversation_id: int, before: int) -> Message:
    message = await store.read_message(connection, agent.company_id, conversation_id, before)
    if message is None:
        raise NotFound
    return message


async def _messages(
    connection: Connection,
    agent: Agent,
    conversation_id: int,
    limit: int | None,
    edge: Message | None,
) -> list[Message]:
    if limit is not None:
        return await threads.read_messages(
            connection, agent.company_id, conversation_id, limit=limit, before=edge
        )
    whole: list[Message] = []
    while True:
        page = await threads.read_messages(
            connection, agent.company_id, conversation_id, limit=_PAGE, before=edge
        )
        whole = page + whole
        if len(page) < _PAGE:
            return whole
        edge = page[0]
