"""Telling Chatwoot that a conversation was read here to its end. What it confirms is then read for
every agent here, as it is there.

Chatwoot takes no moment: what it has when it is asked counts as seen, also a message that nobody
here has seen. So it is asked only while the newest message that is known here is the one that was
read, and given back where its answer shows a newer one.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from server import log
from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused
from server.chatwoot.background_calls import Paced, TryLater
from server.core.state.entities import Conversation
from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation
from server.core.wire.event_frames import EventBatch
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state import read_state
from server.db.state.conversation_edits import ConversationEditor
from server.db.state.gone_marks import mark_gone
from server.errors import DatabaseUnavailable, NotFound
from server.integrations.directory import Directory

ClientOf = Callable[[Integration], ChatwootClient]
Publish = Callable[[EventBatch], None]
_GATHER_SECONDS = 0.3
_MAX_WAITING = 5_000
_NOT_FOUND = 404
_INCOMING = 0
_logger = log.get(__name__)


class _Read(msgspec.Struct, frozen=True):
    """How far a conversation was read here."""

    company_id: int
    conversation_id: int
    display_id: int
    count: int


class LastSeen:
    """Tells Chatwoot in the background; what does not fit, or is lost with the process, is told
    when the conversation is read again.
    """

    def __init__(
        self, database: Database, directory: Directory, client_of: ClientOf, publish: Publish
    ) -> None:
        self._database = database
        self._directory = directory
        self._client_of = client_of
        self._editor = ConversationEditor(database, publish)
        self._work: Paced[tuple[int, int], _Read] = Paced(
            self._report_read, gather_seconds=_GATHER_SECONDS, max_waiting=_MAX_WAITING
        )
        self.run = self._work.run

    def record_read(self, row: Conversation, read_count: int) -> None:
        """Queues a conversation that an agent has read to its end; one read in part is left out."""
        if (
            row.integration_id is None
            or row.chatwoot_conversation_id is None
            or row.gone_us is not None
        ):
            return
        integration = self._usable(row.company_id, row.integration_id)
        if integration is None or read_count < row.inbound_count:
            return
        read = _Read(row.company_id, row.id, row.chatwoot_conversation_id, read_count)
        if not self._work.submit(integration.base_url, (row.integration_id, row.id), read):
            _logger.info(
                "reading not told to Chatwoot",
                integration_id=integration.id,
                reason="too much waits",
            )

    def _usable(self, company_id: int, integration_id: int) -> Integration | None:
        one = self._directory.integrations.get(integration_id)
        is_theirs = one is not None and one.company_id == company_id
        is_usable = (
            one is not None
            and is_theirs
            and one.is_active
            and one.is_proved
            and not one.problem
            and bool(one.base_url)
        )
        return one if is_usable else None

    async def _report_read(self, key: tuple[int, int], read: _Read) -> None:
        integration = self._usable(read.company_id, key[0])
        if integration is None:
            return
        try:
            known = await self._database.read(
                lambda c: read_state.read_known(c, read.conversation_id)
            )
            if known is None or known.inbound_count > read.count:
                return  # there is something new, which is told when it was read
            if await self._is_confirmed(integration, read, known):
                await self._read_for_all(integration, read)
        except DatabaseUnavailable:
            raise TryLater from None

    async def _is_confirmed(
        self, integration: Integration, read: _Read, known: read_state.Known
    ) -> bool:
        client = self._client_of(integration)
        try:
            answer = await client.update_last_seen(read.display_id)
            if _has_newer(answer, known.newest_number):
                await client.mark_unread(read.display_id)
                return False
        except ChatwootRefused as error:
            if error.chatwoot_status == _NOT_FOUND:
                await mark_gone(self._editor, integration, read.display_id)
            else:
                _logger.info(
                    "reading not told to Chatwoot",
                    integration_id=integration.id,
                    reason=error.message,
                )
            return False
        except ChatwootError:
            raise TryLater from None
        return True

    async def _read_for_all(self, integration: Integration, read: _Read) -> None:
        """Unless something new has come meanwhile."""

        async def change(working_set: WorkingSet, entry: TrackedConversation) -> None:
            if entry.row.read_count < entry.row.inbound_count <= read.count:
                entry.row = replace(entry.row, read_count=entry.row.inbound_count)
                entry.is_dirty = True

        with contextlib.suppress(NotFound):
            await self._editor.edit(integration.company_id, read.conversation_id, change)


def _has_newer(answer: Any, newest_number: int) -> bool:
    """Whether the conversation that Chatwoot answers with ends with a message of the customer that
    is not known here.
    """
    last = answer.get("last_non_activity_message") if isinstance(answer, dict) else None
    if not isinstance(last, dict) or last.get("message_type") != _INCOMING:
        return False
    number = last.get("id")
    return isinstance(number, int) and number > newest_number
