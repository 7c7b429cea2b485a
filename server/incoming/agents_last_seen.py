"""How far agents have read in Chatwoot, which no webhook tells: taken from lists of conversations
that are asked for anyway, and asked for when Chatwoot's socket says that some number of unread
messages has changed.

Only how far a conversation is read is taken from them: what else has changed comes by its webhook,
whose losses are counted.
"""

from collections.abc import Callable, Sequence
from typing import Any

from server import log
from server.chatwoot import ChatwootClient, ChatwootError
from server.chatwoot.background_calls import Paced
from server.core.chatwoot.changes import Change, ConversationState
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.state.tracked import Source
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state import read_state
from server.errors import DatabaseUnavailable, PayloadError
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest import Ingester

Json = dict[str, Any]
ClientOf = Callable[[Integration], ChatwootClient]
_GATHER_SECONDS, _PAUSE_SECONDS = 0.2, 2.0
_MAX_WAITING = 10_000
_logger = log.get(__name__)


class AgentsLastSeen:
    """Asks Chatwoot in the background, and applies how far agents have read."""

    def __init__(self, database: Database, ingester: Ingester, client_of: ClientOf) -> None:
        self._database = database
        self._ingester = ingester
        self._client_of = client_of
        self._work: Paced[int, Sequence[Integration]] = Paced(
            self._ask,
            gather_seconds=_GATHER_SECONDS,
            pause_seconds=_PAUSE_SECONDS,
            max_waiting=_MAX_WAITING,
        )
        self.run = self._work.run

    def on_unread_changed(self, integrations: Sequence[Integration]) -> None:
        """Queues a question: the socket of their account said that a number has changed."""
        self._work.submit(integrations[0].base_url, integrations[0].id, integrations)

    async def apply_rows(self, integrations: Sequence[Integration], rows: Sequence[Json]) -> None:
        """Applies what conversations of REST, of any inbox of the account, say of unread messages.
        Raises DatabaseUnavailable.
        """
        states = [
            (one, state)
            for row in rows
            if (one := _of_inbox(integrations, row)) and (state := _reading_of(row))
        ]
        places: dict[int, set[int]] = {}
        for one, state in states:
            places.setdefault(one.id, set()).add(state.display_id)
        unread = await self._database.read(lambda c: read_state.read_unread(c, places))
        now_us = self._database.clock.now_us()
        told = [
            IncomingChange(
                Source(one.id, one.company_id, one.inbox_name),
                Change(None, None, state, None, now_us),
                now_us,
            )
            for one, state in states
            if (one.id, state.display_id) in unread
        ]
        if told:
            await self._ingester.apply(told)

    async def _ask(self, first_id: int, integrations: Sequence[Integration]) -> None:
        """The conversations that were active last: agents read what is new. The others are seen
        when all open ones are counted.
        """
        try:
            page = await self._client_of(integrations[0]).list_conversations(status="open")
            await self.apply_rows(integrations, page.rows)
        except (ChatwootError, DatabaseUnavailable) as error:
            _logger.info(
                "what agents read not asked for", integration_id=first_id, reason=error.message
            )


def _of_inbox(integrations: Sequence[Integration], row: Json) -> Integration | None:
    exact = [one for one in integrations if one.inbox_id == row.get("inbox_id")]
    return next(iter(exact or [one for one in integrations if one.inbox_id is None]), None)


def _reading_of(row: Json) -> ConversationState | None:
    try:
        told = parse_conversation(row)
    except PayloadError:
        return None
    return ConversationState(
        told.display_id,
        unread=told.unread,
        agents_seen_us=told.agents_seen_us,
        as_of_us=told.as_of_us,
    )
