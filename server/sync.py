"""Sync: walk what an integration has in Chatwoot, page by page, through the same projection as webhooks.

It can be run again at any time: what is there already is recognised by its ids and only counted. Chatwoot's rows move between pages while
one reads (newest activity first), so pages overlap and are upserted; nothing is ever deleted because a list did not have it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from server import log
from server.chatwoot import ChatwootClient, ChatwootError
from server.core.changes import Change, ConversationState
from server.core.payloads import parse_conversation, parse_message
from server.core.projection import Result, Source
from server.db import walks
from server.db.accounts import Integration
from server.db.database import Database
from server.directory import Directory
from server.errors import NotFound, OmniError, PayloadError
from server.ingest import Ingester, Told
from server.tasks import spawn

_logger = log.get(__name__)
_CONVERSATIONS_PAGE = 25
_MESSAGES_PAGE = 100  # `after=` gives the first 100 above an id
_ERRORS_MOST = 20
_PAGES_MOST = 100_000  # a Chatwoot that never gives an empty page must not hold us for ever

Json = dict[str, Any]
ClientOf = Callable[[Integration], ChatwootClient]
OnProgress = Callable[["Outcome"], None]


class Outcome(msgspec.Struct):
    """What a walk found, so far or in the end."""

    integration_id: int
    total: int | None = None  # conversations there are in Chatwoot, once it has said so
    walked: int = 0  # conversations, those of an interrupted walk before it included
    walked_before: int = 0  # by that
    is_resumed: bool = False
    conversations_created: int = 0
    conversations_updated: int = 0
    messages_created: int = 0
    messages_updated: int = 0
    messages_skipped: int = 0
    errors: list[str] = msgspec.field(default_factory=list)

    def view(self) -> Json:
        return {
            "integrationId": self.integration_id,
            "conversations": {"created": self.conversations_created, "updated": self.conversations_updated},
            "messages": {"created": self.messages_created, "skipped": self.messages_skipped},
            "errors": self.errors,
        }

    def count(self, told: Told) -> None:
        self.conversations_created += told.conversation is Result.CREATED
        self.conversations_updated += told.conversation is Result.UPDATED
        if told.change.message is not None:
            self.messages_created += told.message is Result.CREATED
            self.messages_updated += told.message is Result.UPDATED
            self.messages_skipped += told.message is not Result.CREATED

    def fail(self, sentence: str) -> None:
        if len(self.errors) < _ERRORS_MOST:
            self.errors.append(sentence)


class Sync:
    """Walks for the REST endpoint and the command."""

    def __init__(self, database: Database, directory: Directory, ingester: Ingester, client_of: ClientOf) -> None:
        self._database, self._directory, self._ingester, self._client_of = database, directory, ingester, client_of
        self._under_way: dict[int, asyncio.Future[Outcome]] = {}  # by integration

    async def company(self, company_id: int, integration_id: int | None) -> list[Outcome]:
        """All active integrations of a company, or the one asked for. Raises NotFound for another company's.

        The polling pages of the CRM have a button for it, so every agent may: whoever asks while a walk is under way gets that one's
        outcome, and twenty who press it at once are one walk at Chatwoot.
        """
        await self._directory.refresh()
        own = [integration for integration in self._directory.integrations.values() if integration.company_id == company_id]
        chosen = [i for i in own if (i.is_active if integration_id is None else i.id == integration_id)]
        if integration_id is not None and not chosen:
            raise NotFound(f"There is no Chatwoot integration {integration_id}")
        return [await self._shared(integration) for integration in chosen]

    async def _shared(self, integration: Integration) -> Outcome:
        """The walk that is under way in this process, or a new one. Cancelling the wait is safe: the walk goes on for the others."""
        outcome = self._under_way.get(integration.id)
        if outcome is None:
            outcome = self._under_way[integration.id] = asyncio.get_running_loop().create_future()
            spawn(self._walk_for(integration, outcome), f"sync-{integration.id}")
        return await asyncio.shield(outcome)

    async def _walk_for(self, integration: Integration, outcome: "asyncio.Future[Outcome]") -> None:
        try:
            outcome.set_result(await self.walk(integration))
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for the outcome
            outcome.set_exception(error)
        finally:
            del self._under_way[integration.id]
            if not outcome.done():
                outcome.cancel()

    async def walk(self, integration: Integration, on_progress: OnProgress = lambda outcome: None) -> Outcome:
        """Everything the integration has. What goes wrong stands in `errors`; what was done stays done."""
        outcome = Outcome(integration.id)
        if integration.problem or not integration.base_url or integration.account_id is None:
            outcome.fail(integration.problem or "The integration has no base URL or no account id")
            return outcome
        try:
            await self._pages(integration, outcome, on_progress)
        except OmniError as error:
            outcome.fail(error.message)
        _logger.info("sync ended", **{key: value for key, value in outcome.view().items() if key != "errors"}, errors=len(outcome.errors))
        return outcome

    async def _pages(self, integration: Integration, outcome: Outcome, on_progress: OnProgress) -> None:
        """All pages, from where an interrupted walk had come to; one page earlier, as rows move down while one reads."""
        client, seen = self._client_of(integration), set[int]()
        reached = await self._database.read(lambda c: walks.read_sync_page(c, integration.id))
        first = max(1, reached - 1)
        outcome.total, outcome.is_resumed = await client.count_conversations(inbox_id=integration.inbox_id), reached > 0
        outcome.walked = outcome.walked_before = (first - 1) * _CONVERSATIONS_PAGE
        for page in range(first, _PAGES_MOST):
            conversations = await client.list_conversations(page, inbox_id=integration.inbox_id)
            for item in conversations:
                await self._conversation(client, integration, item, seen, outcome)
                outcome.walked += 1
                on_progress(outcome)
            reached = page + 1 if conversations else 0
            await self._database.transaction(lambda c: walks.write_sync_page(c, integration.id, reached))  # noqa: B023 - awaited at once
            if not conversations:
                return

    async def _conversation(self, client: ChatwootClient, integration: Integration, item: Json, seen: set[int], outcome: Outcome) -> None:
        try:
            state = parse_conversation(item)
            if state.display_id in seen:
                return
            seen.add(state.display_id)
            await self.take_conversation(client, integration, state, outcome)
        except (ChatwootError, PayloadError) as error:
            outcome.fail(f"conversation {item.get('id')}: {error.message}")
            if isinstance(error, ChatwootError) and error.retry_seconds is not None:
                raise

    async def take_conversation(
        self, client: ChatwootClient, integration: Integration, state: ConversationState, outcome: Outcome, after: int = 0
    ) -> None:
        """One conversation with its messages above an id."""
        await self._apply(integration, [Change(None, None, state, None, state.version_us)], outcome)
        while True:
            asked_us = self._database.clock.now_us()
            messages = await client.list_messages(state.display_id, after=after)
            changes = message_changes(state, messages, asked_us, outcome)
            await self._apply(integration, changes, outcome)
            numbers = [item["id"] for item in messages if isinstance(item.get("id"), int)]
            if len(messages) < _MESSAGES_PAGE or not numbers or max(numbers) <= after:
                return
            after = max(numbers)

    async def _apply(self, integration: Integration, changes: Sequence[Change], outcome: Outcome) -> None:
        source, now_us = Source(integration.id, integration.company_id), self._database.clock.now_us()
        told = [Told(source, change, now_us) for change in changes]
        if told:
            await self._ingester.apply(told)
        for one in told:
            outcome.count(one)


def message_changes(state: ConversationState, messages: Sequence[Json], asked_us: int, outcome: Outcome) -> list[Change]:
    """A list of messages as changes; activity lines are left out, broken ones are noted. `state` was read before the list: its version is
    the least these messages have."""
    changes = []
    for item in messages:
        try:
            message = parse_message(item, asked_us=asked_us, version_us=state.version_us)
        except PayloadError as error:
            outcome.fail(f"conversation {state.display_id}, message {item.get('id')}: {error.message}")
            continue
        if message is not None:
            changes.append(Change(None, None, state, message, message.created_us))
    return changes
