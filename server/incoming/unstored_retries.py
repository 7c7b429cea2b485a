"""Asks Chatwoot again for what could not be stored here: once the cause is gone (a column was
widened, a rule dropped), it is there.
"""

import asyncio
from collections.abc import Callable

from server import log
from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.db.access.integration_record import Integration
from server.errors import DatabaseUnavailable, PayloadError
from server.incoming.full_sync import FullSync
from server.incoming.sync_outcome import SyncOutcome
from server.incoming.unstored import Unstored
from server.integrations.directory import Directory

_logger = log.get(__name__)
_POLL_SECONDS = 1.0  # between two conversations at least
_GONE = 404


class UnstoredRetries:
    """One conversation at a time, each after growing pauses."""

    def __init__(
        self,
        unstored: Unstored,
        directory: Directory,
        sync: FullSync,
        client_of: Callable[[Integration], ChatwootClient],
    ) -> None:
        self._unstored = unstored
        self._directory = directory
        self._sync = sync
        self._client_of = client_of

    async def run(self) -> None:
        """Asks for one conversation that is due, each second."""
        while True:
            if (due := self._unstored.take_due()) is not None:
                await self._ask(*due)
            await asyncio.sleep(_POLL_SECONDS)

    async def _ask(self, integration_id: int, conversation: int) -> None:
        integration = self._directory.integrations.get(integration_id)
        if integration is None:
            self._unstored.forget_conversation(integration_id, conversation)
            return
        if not integration.is_active or integration.problem or not integration.base_url:
            return
        client, outcome = self._client_of(integration), SyncOutcome(integration_id)
        try:
            state = parse_conversation(await client.get_conversation(conversation))
            await self._sync.conversations.sync(client, integration, state, outcome)
        except ChatwootRefused as error:
            if error.chatwoot_status == _GONE:
                self._unstored.forget_conversation(integration_id, conversation)
        except (ChatwootError, PayloadError, DatabaseUnavailable):
            return
        if outcome.messages_created or outcome.conversations_created:
            _logger.info(
                "stored after all",
                integration_id=integration_id,
                conversation=conversation,
                messages=outcome.messages_created,
            )
