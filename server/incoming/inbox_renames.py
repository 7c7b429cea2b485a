"""A new name of an inbox for the conversations that were stored with its old one.

Chatwoot tells a rename by no webhook (its inbox events are off unless the server is started with
ENABLE_INBOX_EVENTS) and by no conversation; its socket says that something of the account's inboxes
has changed. So the name is asked for: by the regular check of integrations, and at once when the
socket says so.
"""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation
from server.core.wire.event_frames import EventBatch
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state import inbox_names
from server.db.state.conversation_edits import ConversationEditor
from server.errors import NotFound

_BATCH = 500


class InboxRenames:
    """Renames the inbox of stored conversations.

    An event for each of them would be as many frames for each agent as the inbox has conversations.
    One has its event, the one that clients were told of last: `inboxName` of the highest `seq` is
    the name of all of its inbox.
    """

    def __init__(self, database: Database, publish: Callable[[EventBatch], None]) -> None:
        self._database = database
        self._editor = ConversationEditor(database, publish)

    async def rename(self, integration: Integration, name: str) -> None:
        """Give all of an integration's conversations the name. May be done again after a failure.
        Raises DatabaseUnavailable.
        """
        found = await self._bearing_another(integration.id, name)
        if not found:
            return
        _, last = max(found)
        others = [number for _, number in found if number != last]
        for start in range(0, len(others), _BATCH):
            batch = others[start : start + _BATCH]
            await self._database.transaction(
                lambda c: inbox_names.write_name(c, integration.company_id, batch, name)  # noqa: B023 awaited at once
            )
        try:
            await self._editor.edit(integration.company_id, last, self._with_name(name))
        except NotFound:
            return  # erased meanwhile

    async def _bearing_another(self, integration_id: int, name: str) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        after: int | None = 0
        while after is not None:
            start = after
            more, after = await self._database.read(
                lambda c: inbox_names.read_other_names(c, integration_id, name, start, _BATCH)  # noqa: B023 awaited at once
            )
            found += more
        return found

    def _with_name(self, name: str) -> Callable[[WorkingSet, TrackedConversation], Awaitable[None]]:
        async def change(working_set: WorkingSet, entry: TrackedConversation) -> None:
            now_us = self._editor.now_us()
            marks = replace(entry.row.marks, inbox_name=name)
            working_set.set_conversation(entry, replace(entry.row, marks=marks), now_us, now_us)

        return change
