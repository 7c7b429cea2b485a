"""Reconcile: find by ourselves what no webhook told. Chatwoot sends each webhook once and forgets it.

Runs at the start (for the time we were away), every few minutes, and more often while an integration's webhooks are silent. What it has to
repair is counted: that number is the webhook's loss. Changes younger than a grace are left to their webhook, which may be under way.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from server import log, metrics
from server.chatwoot import ChatwootClient
from server.core.changes import Change, ConversationState
from server.core.payloads import parse_conversation
from server.core.projection import Result, Source
from server.core.times import SECOND, parse_time
from server.db import accounts
from server.db.accounts import Integration
from server.db.database import Database
from server.directory import Directory
from server.errors import DatabaseUnavailable, OmniError, PayloadError
from server.ingest import Ingester, Told
from server.settings import Settings
from server.sync import Outcome, message_changes

_logger = log.get(__name__)
_LOOK_SECONDS = 1.0
_LEASE_SECONDS = 45.0  # after a process died in a round, others wait this long; a living one renews it as it goes
_RENEW_SECONDS = 10.0
_FIRST_WINDOW_SECONDS = 24 * 3600.0
_MARGIN_SECONDS = 120.0  # clocks differ, and rows move between pages while one reads
_PAGE = 25
_PAGES_MOST = 400
_BACK_PAGES_MOST = 50

Json = dict[str, Any]
ClientOf = Callable[[Integration], ChatwootClient]


class Round(msgspec.Struct):
    """One integration's reconciliation, as it goes."""

    integration: Integration
    client: ChatwootClient
    since_us: int
    until_us: int
    outcome: Outcome
    is_first: bool = False  # what was there before the integration was added is no loss of its webhook
    conversations: int = 0
    messages: int = 0
    edits: int = 0
    renewed_us: int = 0

    @property
    def repaired(self) -> int:
        return self.conversations + self.messages + self.edits


class Reconcile:
    def __init__(self, database: Database, directory: Directory, ingester: Ingester, client_of: ClientOf, settings: Settings) -> None:
        self._database, self._directory, self._ingester = database, directory, ingester
        self._client_of, self._settings = client_of, settings
        self._tried_at: dict[int, float] = {}
        self._silent: dict[int, str] = {}
        self._failing: dict[int, str] = {}

    async def run(self) -> None:
        """Look once a second whose turn it is."""
        while True:
            for integration in list(self._directory.integrations.values()):
                if self._is_due(integration):
                    self._tried_at[integration.id] = time.monotonic()
                    await self.reconcile(integration)
            await asyncio.sleep(_LOOK_SECONDS)

    def problems(self) -> list[str]:
        """Sentences for the status: webhooks that do not arrive, a Chatwoot that cannot be asked."""
        return [*self._silent.values(), *self._failing.values()]

    async def reconcile(self, integration: Integration) -> Round | None:
        """One round, unless another process is at it. Returns what it repaired; None when it was not its turn or did not end."""
        started_us = int(time.time() * SECOND)
        lease_us = int(_LEASE_SECONDS * SECOND)
        try:
            before = await self._database.transaction(
                lambda c: accounts.claim_integration(c, integration.id, started_us, started_us + lease_us)
            )
            if before is None:
                return None
            since = (before or started_us - int(_FIRST_WINDOW_SECONDS * SECOND)) - int(_MARGIN_SECONDS * SECOND)
            until = started_us - int(self._settings.reconcile_grace_seconds * SECOND)
            outcome = Outcome(integration.id)
            current = Round(integration, self._client_of(integration), since, until, outcome, before == 0, renewed_us=started_us)
            is_whole = await self._walk(current)
            done_us = until if is_whole else None
            await self._database.transaction(lambda c: accounts.release_integration(c, integration.id, done_us, current.repaired))
        except DatabaseUnavailable:
            return None
        self._judge(current)
        return current if is_whole else None

    async def _walk(self, current: Round) -> bool:
        """Ask for every conversation that changed, or was active lately. Returns whether the walk came to its end."""
        integration_id = current.integration.id
        try:
            for item in await self._changed(current):
                await self._renew(current)
                await self._conversation(current, item)
        except OmniError as error:
            self._failing[integration_id] = f"integration {integration_id}: Chatwoot cannot be asked ({error.message})"
            return False
        self._failing.pop(integration_id, None)
        return not current.outcome.errors

    async def _renew(self, current: Round) -> None:
        now_us = int(time.time() * SECOND)
        if now_us - current.renewed_us > _RENEW_SECONDS * SECOND:
            current.renewed_us = now_us
            values = {"lease_until": now_us + int(_LEASE_SECONDS * SECOND)}
            await self._database.transaction(lambda c: accounts.update_integration(c, current.integration.id, values))

    async def _changed(self, current: Round) -> list[Json]:
        """Conversations whose state changed since, and those active within the hours in which edits are looked for."""
        inbox_id, now_us = current.integration.inbox_id, int(time.time() * SECOND)
        seconds = max(1, (now_us - current.since_us) // SECOND)
        found: dict[Any, Json] = {}
        for item in await current.client.list_conversations(1, inbox_id=inbox_id, updated_within=int(seconds)):
            found[item.get("id")] = item
        active_us = min(current.since_us, now_us - int(self._settings.reconcile_active_hours * 3600 * SECOND))
        for page in range(1, _PAGES_MOST):
            items = await current.client.list_conversations(page, inbox_id=inbox_id)
            found |= {item.get("id"): item for item in items if item.get("id") not in found}
            oldest = min((parse_time(item.get("last_activity_at")) or 0 for item in items), default=0)
            if len(items) < _PAGE or oldest < active_us:
                break
        return [item for item in found.values() if _is_recent(item, active_us)]

    async def _conversation(self, current: Round, item: Json) -> None:
        try:
            state = parse_conversation(item)
        except PayloadError as error:
            current.outcome.fail(error.message)
            return
        if state.version_us <= current.until_us:
            told = await self._apply(current, [Change(None, None, state, None, state.version_us)])
            current.conversations += _count(current, "conversation", told[0].conversation is not Result.SAME)
        before: int | None = None
        for _ in range(_BACK_PAGES_MOST):
            before = await self._page(current, state, before)
            if before is None:
                return

    async def _page(self, current: Round, state: ConversationState, before: int | None) -> int | None:
        """One page of messages, newest first page first. Returns the id to go on below while the page reaches neither back before the
        last round nor to anything we knew: a hole may lie under messages whose webhooks came."""
        asked_us = int(time.time() * SECOND)
        items = await current.client.list_messages(state.display_id, before=before)
        changes = message_changes(state, items, asked_us, current.outcome)
        old_enough = [change for change in changes if change.message and change.message.created_us <= current.until_us]
        told = await self._apply(current, old_enough)
        for one in told:
            current.messages += _count(current, "message", one.message is Result.CREATED)
            current.edits += _count(current, "edit", one.message is Result.UPDATED)
        numbers = [item["id"] for item in items if isinstance(item.get("id"), int)]
        is_all_new = all(one.message is Result.CREATED for one in told)
        oldest_us = min((parse_time(item.get("created_at")) or 0 for item in items), default=0)
        may_hide_more = is_all_new or oldest_us >= current.since_us
        return min(numbers) if numbers and may_hide_more and len(items) >= 20 else None

    async def _apply(self, current: Round, changes: Sequence[Change]) -> list[Told]:
        source, now_us = Source(current.integration.id, current.integration.company_id), int(time.time() * SECOND)
        told = [Told(source, change, now_us) for change in changes]
        if told:
            await self._ingester.apply(told)
        return told

    def _is_due(self, integration: Integration) -> bool:
        if not integration.is_active or integration.problem or not integration.base_url or not integration.access_token:
            return False
        tried_at = self._tried_at.get(integration.id)
        if tried_at is None:
            return True
        seen_us = self._ingester.seen.get(integration.id, 0)
        is_quiet = time.time() - seen_us / SECOND > self._settings.reconcile_quiet_seconds
        every = (
            min(self._settings.reconcile_quiet_seconds, self._settings.reconcile_seconds) if is_quiet else self._settings.reconcile_seconds
        )
        return time.monotonic() - tried_at >= every

    def _judge(self, current: Round) -> None:
        """Whether the webhook itself seems broken: we found changes, and it has told us nothing since before them."""
        integration_id = current.integration.id
        seen_us = self._ingester.seen.get(integration_id, 0)
        if current.repaired and seen_us < current.until_us - int(self._settings.reconcile_quiet_seconds * SECOND):
            self._silent[integration_id] = (
                f"integration {integration_id}: webhooks do not arrive ({current.repaired} changes were found by asking); "
                "check the webhook in Chatwoot and that it can reach us"
            )
        elif seen_us > current.until_us - int(self._settings.reconcile_quiet_seconds * SECOND):
            self._silent.pop(integration_id, None)
        if current.repaired:
            _logger.warning(
                "repaired what no webhook told",
                integration_id=integration_id,
                conversations=current.conversations,
                messages=current.messages,
                edits=current.edits,
            )


def _count(current: Round, kind: str, is_repair: bool) -> int:
    if not is_repair or current.is_first:
        return 0
    metrics.repairs.labels(kind).inc()
    return 1


def _is_recent(item: Json, active_us: int) -> bool:
    return max(parse_time(item.get("last_activity_at")) or 0, parse_time(item.get("updated_at")) or 0) >= active_us
