"""Conversations that Chatwoot no longer has: somebody deleted them, their contact or their inbox,
and Chatwoot tells nobody.

Once a minute the open ones are counted, there and here. Where the numbers differ, the open ones
there are listed, and each that is open here and not in the list is asked for: 404 is the only
proof. A number that stays different for another reason is looked into rarely.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from server import log
from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused
from server.core.wire.event_frames import EventBatch
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state import open_conversations
from server.db.state.conversation_edits import ConversationEditor
from server.db.state.gone_marks import mark_gone

ClientOf = Callable[[Integration], ChatwootClient]
Publish = Callable[[EventBatch], None]
Counts = tuple[int, ...]
OnRows = Callable[[Sequence[Integration], Sequence[dict[str, Any]]], Awaitable[None]]
OPEN = ("open", "pending", "snoozed")
_EVERY_SECONDS = 45.0
_AGAIN_SECONDS = 900.0  # numbers that differ, and were looked into
_MAX_PAGES = 400
_MAX_ASKED = 200  # in one round; the next one goes on
_NOT_FOUND = 404
_logger = log.get(__name__)


async def _ignored(integrations: Sequence[Integration], rows: Sequence[dict[str, Any]]) -> None:
    return


class GoneConversations:
    """Compares the numbers of open conversations, and marks those that are gone."""

    def __init__(
        self,
        database: Database,
        client_of: ClientOf,
        publish: Publish,
        every_seconds: float = _EVERY_SECONDS,
        on_rows: OnRows = _ignored,
    ) -> None:
        """`on_rows` gets the conversations that came with the counts: those of each state that were
        active last.
        """
        self._database = database
        self._client_of = client_of
        self._editor = ConversationEditor(database, publish)
        self._every_seconds = every_seconds
        self._on_rows = on_rows
        self._asked_at: dict[int, float] = {}
        self._explained: dict[int, tuple[float, Counts, Counts]] = {}

    async def check(self, integration: Integration) -> None:
        """Compares one integration, if it is due. Raises what the database raises; a Chatwoot that
        cannot be asked has lost nothing.
        """
        now = time.monotonic()
        if now - self._asked_at.get(integration.id, float("-inf")) < self._every_seconds:
            return
        self._asked_at[integration.id] = now
        client = self._client_of(integration)
        try:
            pages = [
                await client.list_conversations(inbox_id=integration.inbox_id, status=one)
                for one in OPEN
            ]
            theirs = tuple(page.count for page in pages)
            await self._on_rows([integration], [row for page in pages for row in page.rows])
            known = await self._database.read(
                lambda c: open_conversations.read_open(c, integration.id)
            )
            ours = tuple(sum(status == one for status in known.values()) for one in OPEN)
            if ours == theirs or self._is_explained(integration.id, now, ours, theirs):
                return
            is_whole = await self._find_gone(client, integration, known)
        except ChatwootError as error:
            _logger.info(
                "open conversations not compared",
                integration_id=integration.id,
                reason=error.message,
            )
            return
        if is_whole:
            self._explained[integration.id] = (now, ours, theirs)

    def _is_explained(self, integration_id: int, now: float, ours: Counts, theirs: Counts) -> bool:
        at, *counts = self._explained.get(integration_id, (float("-inf"), (), ()))
        return counts == [ours, theirs] and now - at < _AGAIN_SECONDS

    async def _find_gone(
        self, client: ChatwootClient, integration: Integration, known: dict[int, str]
    ) -> bool:
        """Marks what is gone. Returns whether all that were missing in the lists were asked for."""
        missing = dict(known)
        for status in OPEN:
            for page in range(1, _MAX_PAGES):
                items = (
                    await client.list_conversations(
                        page, status=status, inbox_id=integration.inbox_id
                    )
                ).rows
                for item in items:
                    missing.pop(item.get("id", 0), None)
                if not items:
                    break
        for display_id in list(missing)[:_MAX_ASKED]:
            if await _is_gone(client, display_id):
                await self._mark(integration, display_id)
        return len(missing) <= _MAX_ASKED

    async def _mark(self, integration: Integration, display_id: int) -> None:
        if await mark_gone(self._editor, integration, display_id):
            _logger.info("conversation gone", integration_id=integration.id, display_id=display_id)


async def _is_gone(client: ChatwootClient, display_id: int) -> bool:
    try:
        await client.get_conversation(display_id)
    except ChatwootRefused as error:
        if error.chatwoot_status == _NOT_FOUND:
            return True
        raise
    return False
