"""One reconciliation of one integration: ask for every conversation that changed, or was active
lately, and store what no webhook brought. What is found is noted as a find, which `losses.py`
judges.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from server import metrics
from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootRefused,
    ChatwootUnavailable,
    RecentListing,
    message_windows,
)
from server.core.chatwoot.changes import Change
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.chatwoot.future_times import SKEW_US
from server.core.state import edit_turns
from server.core.state.edit_turns import EditTurns
from server.core.state.tracked import Result, Source
from server.core.times import SECOND, parse_time
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.journal import finds, reconcile_claims
from server.db.journal.finds import Find
from server.db.journal.reconcile_claims import Claim
from server.db.state import history
from server.errors import DatabaseUnavailable, OmniError, PayloadError
from server.incoming.conversation_sync import message_changes
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest import Ingester
from server.incoming.sync_outcome import SyncOutcome
from server.incoming.unstored import Place
from server.integrations.arrivals import Arrivals
from server.problems import Text
from server.settings import Settings

# after a process died in a round, others wait this long; a living one renews it as it goes
LEASE_SECONDS = 45.0
_RENEW_SECONDS = 10.0  # of the lease: renewed when this much has gone
_MAX_FAILURES = 3
_GONE = 404  # deleted since it was listed
_MAX_UPDATED_SECONDS = 900.0  # asked for by `updated_within`, which Chatwoot does not page
_UPDATED_PAUSE_SECONDS = 600.0  # after it could not answer that question, it is not asked
_MAX_EDITABLE = 20  # messages of each conversation that are looked at for edits

Json = dict[str, Any]


class ReconcileRun(msgspec.Struct):
    """One integration's reconciliation, as it goes."""

    integration: Integration
    client: ChatwootClient
    claim: Claim
    started_us: int
    since_us: int
    until_us: int
    outcome: SyncOutcome
    asked_us: int = 0  # by our clock; no answer it gets is older
    # what was there before the integration was added is no loss of its webhook
    is_first: bool = False
    conversations: int = 0
    messages: int = 0
    edits: int = 0
    failures: int = 0
    newest_us: int = 0  # when the newest of what it repaired had happened, by Chatwoot's clock

    @property
    def repaired(self) -> int:
        """How many conversations, messages and edits it brought."""
        return self.conversations + self.messages + self.edits


class ReconcileRunner:
    """Runs reconciliations, and remembers between two of them what is asked for more rarely."""

    def __init__(
        self, database: Database, ingester: Ingester, settings: Settings, arrivals: Arrivals
    ) -> None:
        self._database = database
        self._ingester = ingester
        self._settings = settings
        self._arrivals = arrivals
        self._turns: dict[int, EditTurns] = {}
        # integration -> when edits of hours ago were last looked for
        self._whole_at: dict[int, float] = {}
        # integration -> when it may be asked for `updated_within` again
        self._rests_until: dict[int, float] = {}

    async def run(self, current: ReconcileRun) -> Text | None:
        """Ask for every conversation that changed, or was active lately. Returns why it could not
        come to its end, else None.
        """
        try:
            turns = self._turns.setdefault(current.integration.id, EditTurns())
            for item in turns.choose(await self._changed(current), edit_turns.MAX_UNCHANGED):
                if not await self._keeps_lease(current):
                    return "another process went on with it"
                if await self._try_conversation(current, item):
                    turns.record_read(item, current.until_us)
        except DatabaseUnavailable:
            raise
        except OmniError as error:
            return error.problem
        return None

    async def _try_conversation(self, current: ReconcileRun, item: Json) -> bool:
        """Whether it was read whole. One that Chatwoot cannot show does not hide those behind it.
        Raises what several in a row cannot be got past.
        """
        broken = current.outcome.error_count
        try:
            with current.outcome.sparing(item):
                await self._conversation(current, item)
        except ChatwootRefused as error:
            if error.chatwoot_status != _GONE:
                raise
        except ChatwootError as error:
            current.failures += 1
            if current.failures >= _MAX_FAILURES:
                raise
            current.outcome.fail(f"conversation {item.get('id')}: {error.message}")
        else:
            current.failures = 0
            return current.outcome.error_count == broken
        return False

    async def _keeps_lease(self, current: ReconcileRun) -> bool:
        now_us, claim = self._database.clock.now_us(), current.claim
        if claim.lease_us - now_us > int((LEASE_SECONDS - _RENEW_SECONDS) * SECOND):
            return True
        lease_us = now_us + int(LEASE_SECONDS * SECOND)
        is_ours = await self._database.transaction(
            lambda c: reconcile_claims.renew(c, claim, lease_us)
        )
        current.claim = replace(claim, lease_us=lease_us)
        return is_ours

    async def _changed(self, current: ReconcileRun) -> list[Json]:
        """Lists conversations whose state changed since, and those active within the hours in which
        edits are looked for.
        """
        now_us = current.asked_us = self._database.clock.now_us()
        found = {
            item.get("id"): item
            for item in await self._updated(current, max(1, (now_us - current.since_us) // SECOND))
        }
        active_us = current.since_us
        if not self._is_short(current.integration):
            self._whole_at[current.integration.id] = time.monotonic()
            active_us = min(
                active_us, now_us - int(self._settings.reconcile_active_hours * 3600 * SECOND)
            )
        listing = RecentListing(current.client, current.integration.inbox_id, active_us)
        for item in await listing.rows():
            found.setdefault(item.get("id"), item)
        if listing.problem:
            current.outcome.fail(listing.problem)
        return [item for item in found.values() if _is_recent(item, active_us)]

    async def _updated(self, current: ReconcileRun, seconds: int) -> list[Json]:
        """What changed without a message, lately. After a bulk act Chatwoot cannot answer this at
        all: then it is left in peace, and what had messages is found by its last activity.
        """
        place = current.integration.id
        if seconds > _MAX_UPDATED_SECONDS or time.monotonic() < self._rests_until.get(place, 0.0):
            return []
        try:
            return await current.client.list_updated(seconds, inbox_id=current.integration.inbox_id)
        except ChatwootUnavailable:
            self._rests_until[place] = time.monotonic() + _UPDATED_PAUSE_SECONDS
            return []

    async def _conversation(self, current: ReconcileRun, item: Json) -> None:
        try:
            state = parse_conversation(item, asked_us=current.asked_us)
        except PayloadError as error:
            current.outcome.fail(error.problem)
            return
        if self._is_due_by(state.version_us, current):
            await self._apply(current, [Change(None, None, state, None, state.version_us)])
        place, number = current.integration.id, state.display_id
        low = await self._database.read(
            lambda c: history.read_low(c, place, number, current.since_us, _MAX_EDITABLE)
        )
        asked_us = self._database.clock.now_us()
        async for rows in message_windows(current.client, number, low):
            changes = message_changes(state, rows, asked_us, current.outcome)
            await self._apply(
                current,
                [
                    one
                    for one in changes
                    if one.message and self._is_due_by(one.message.created_us, current)
                ],
            )
            asked_us = self._database.clock.now_us()

    def _is_due_by(self, moment_us: int, current: ReconcileRun) -> bool:
        """What is younger than the grace is left to its webhook; what is of the future, by a clock
        of Chatwoot's that is ahead, is not.
        """
        return moment_us <= current.until_us or moment_us > self._database.clock.now_us() + SKEW_US

    async def _apply(self, current: ReconcileRun, changes: Sequence[Change]) -> None:
        source, now_us = (
            Source(
                current.integration.id,
                current.integration.company_id,
                current.integration.inbox_name,
            ),
            self._database.clock.now_us(),
        )
        incoming = [IncomingChange(source, change, now_us) for change in changes]
        if incoming:
            await self._ingester.apply(incoming)
            await self._note_finds(current, incoming)

    async def _note_finds(self, current: ReconcileRun, incoming: Sequence[IncomingChange]) -> None:
        """What was there before the integration was added is no loss of its webhook."""
        if current.is_first:
            return
        found = [find for one in incoming if (find := _find_of(one)) is not None]
        for one in found:
            metrics.repairs.labels(one.kind).inc()
            current.conversations += one.kind == "conversation"
            current.messages += one.kind == "message"
            current.edits += one.kind == "edit"
            current.newest_us = max(current.newest_us, one.happened_us)
            if one.kind == "message":
                self._arrivals.record("asking", one.integration_id, one.happened_us)
        await self._ingester.unstored.store_each(
            found, lambda one: Place(one.integration_id, 0, one.number), self._append_finds
        )

    async def _append_finds(self, found: Sequence[Find]) -> None:
        if found:
            await self._database.transaction(lambda c: finds.append_finds(c, found))

    def _is_short(self, integration: Integration) -> bool:
        """While webhooks are late it is asked often, and then only for what changed since the last
        time.
        """
        whole_at = self._whole_at.get(integration.id)
        is_due = whole_at is None or time.monotonic() - whole_at >= self._settings.reconcile_seconds
        return self._arrivals.is_late(integration.id) and not is_due


def _find_of(incoming: IncomingChange) -> Find | None:
    """What this brought that no webhook had brought."""
    source, change, message = incoming.source, incoming.change, incoming.change.message
    if message is None or message.message_id is None:
        if incoming.conversation not in (Result.CREATED, Result.UPDATED):
            return None
        number, version_us = change.conversation.display_id, change.conversation.version_us
        return Find(source.integration_id, "conversation", number, version_us, incoming.received_us)
    kind = {Result.CREATED: "message", Result.UPDATED: "edit"}.get(incoming.message)
    return (
        Find(
            source.integration_id,
            kind,
            message.message_id,
            message.created_us,
            incoming.received_us,
        )
        if kind
        else None
    )


def _is_recent(item: Json, active_us: int) -> bool:
    return (
        max(parse_time(item.get("last_activity_at")) or 0, parse_time(item.get("updated_at")) or 0)
        >= active_us
    )
