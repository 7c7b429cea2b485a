"""Contacts that were deleted in Chatwoot, as its socket says: their conversations go with them, one
after the other, and of each 404 is the only proof. A contact that was merged into another is
deleted as well, and its conversations are not.
"""

from collections.abc import Callable, Sequence

from server import log
from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused
from server.chatwoot.background_calls import Paced, TryLater
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.wire.event_frames import EventBatch
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state.contacts import find_conversations
from server.db.state.conversation_edits import ConversationEditor
from server.db.state.gone_marks import mark_gone
from server.errors import DatabaseUnavailable, PayloadError

ClientOf = Callable[[Integration], ChatwootClient]
Publish = Callable[[EventBatch], None]
_MAX_WAITING = 10_000
_NOT_FOUND = 404
_logger = log.get(__name__)


class GoneContacts:
    """Marks the conversations of deleted contacts as gone. A contact is tried again until Chatwoot
    has deleted, or moved, all of their conversations.
    """

    def __init__(self, database: Database, client_of: ClientOf, publish: Publish) -> None:
        self._database = database
        self._client_of = client_of
        self._editor = ConversationEditor(database, publish)
        self._work: Paced[tuple[int, int], Sequence[Integration]] = Paced(
            self._look_for, gather_seconds=0.2, max_waiting=_MAX_WAITING
        )
        self.run = self._work.run

    def on_deleted(self, integrations: Sequence[Integration], contact_id: int) -> None:
        """Queues the look-up of a contact; `integrations`: all of the account."""
        if not self._work.submit(
            integrations[0].base_url, (integrations[0].id, contact_id), integrations
        ):
            _logger.info(
                "deleted contact not looked for",
                integration_id=integrations[0].id,
                reason="too much waits",
            )

    async def _look_for(self, key: tuple[int, int], integrations: Sequence[Integration]) -> None:
        by_id, contact_id = {one.id: one for one in integrations}, key[1]
        try:
            found = await self._database.read(
                lambda c: find_conversations(c, list(by_id), contact_id)
            )
            remain = [
                one
                for one in found
                if await self._is_theirs_still(by_id[one[0]], one[1], contact_id)
            ]
        except (ChatwootError, DatabaseUnavailable):
            raise TryLater from None
        if remain:
            raise TryLater

    async def _is_theirs_still(
        self, integration: Integration, display_id: int, contact_id: int
    ) -> bool:
        try:
            told = parse_conversation(
                await self._client_of(integration).get_conversation(display_id)
            )
        except PayloadError:
            return False
        except ChatwootRefused as error:
            if error.chatwoot_status != _NOT_FOUND:
                raise
            if await mark_gone(self._editor, integration, display_id):
                _logger.info(
                    "conversation gone", integration_id=integration.id, display_id=display_id
                )
            return False
        return told.contact is None or told.contact.id in (None, contact_id)
