"""One conversation of Chatwoot, read whole: its state and all of its messages, through the same
projection as webhooks.
"""

from collections.abc import Sequence
from typing import Any

from server.chatwoot import ChatwootClient, message_windows
from server.core.chatwoot.changes import Change, ConversationState
from server.core.chatwoot.message_payloads import parse_message
from server.core.state.tracked import Source
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state import history
from server.errors import PayloadError
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest import Ingester
from server.incoming.sync_outcome import SyncOutcome

_MAX_BATCH = 100  # messages in one transaction: their company's stream is locked for it

Json = dict[str, Any]


class ConversationSync:
    """Reads conversations of Chatwoot into state."""

    def __init__(self, database: Database, ingester: Ingester) -> None:
        self._database = database
        self._ingester = ingester

    async def sync(
        self,
        client: ChatwootClient,
        integration: Integration,
        state: ConversationState,
        outcome: SyncOutcome,
        *,
        writes: bool = True,
    ) -> None:
        """Read one conversation with all of its messages; without `writes` it is only compared.

        Raises ChatwootError, DatabaseUnavailable.
        """
        if writes:
            await self._apply(
                integration, [Change(None, None, state, None, state.version_us)], outcome
            )
        there, number = set[int](), state.display_id
        asked_us = started_us = self._database.clock.now_us()
        async for rows in message_windows(client, number):
            changes = message_changes(state, rows, asked_us, outcome)
            there.update(
                change.message.message_id
                for change in changes
                if change.message and change.message.message_id
            )
            for begin in range(0, len(changes) if writes else 0, _MAX_BATCH):
                await self._apply(integration, changes[begin : begin + _MAX_BATCH], outcome)
            asked_us = self._database.clock.now_us()
        here = await self._database.read(
            lambda c: history.read_message_numbers(c, integration.id, number)
        )
        outcome.comparison.add(number, there, here)
        if writes and there <= here:
            await self._database.transaction(
                lambda c: history.mark_verified(c, integration.id, number, started_us)
            )

    async def _apply(
        self, integration: Integration, changes: Sequence[Change], outcome: SyncOutcome
    ) -> None:
        source, now_us = (
            Source(integration.id, integration.company_id, integration.inbox_name),
            self._database.clock.now_us(),
        )
        incoming = [IncomingChange(source, change, now_us) for change in changes]
        if incoming:
            await self._ingester.apply(incoming)
        for one in incoming:
            outcome.count(one)
            if one.problem:
                outcome.fail(f"{one.place} cannot be stored: {one.problem}")


def message_changes(
    state: ConversationState, messages: Sequence[Json], asked_us: int, outcome: SyncOutcome
) -> list[Change]:
    """Turn a list of messages into changes; activity lines are left out, broken ones are noted.

    `state` was read before the list: its version is the least these messages have.
    """
    changes = []
    for item in messages:
        try:
            message = parse_message(item, asked_us=asked_us, version_us=state.version_us)
        except PayloadError as error:
            outcome.fail(
                f"conversation {state.display_id}, message {item.get('id')}: {error.message}"
            )
            continue
        if message is not None:
            changes.append(Change(None, None, state, message, message.created_us))
    return changes
