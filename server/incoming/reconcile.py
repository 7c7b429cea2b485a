"""Reconcile: find by ourselves what no webhook told. Chatwoot sends each webhook once and forgets
it.

Runs at the start (for the time we were away), every few minutes, and more often while an
integration's webhooks are silent or late. What it finds is noted: `losses.py` tells whether its
webhook was only late. Changes younger than a grace are left to their webhook.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from server import log, metrics
from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootRefused,
    ChatwootUnavailable,
    RecentListing,
    message_windows,
)
from server.core.chatwoot.changes import Change
from server.core.chatwoot.future_times import SKEW_US
from server.core.chatwoot.payloads import parse_conversation
from server.core.state import edit_turns
from server.core.state.edit_turns import EditTurns
from server.core.state.tracked import Result, Source
from server.core.times import SECOND, parse_time
from server.db.access.accounts import Integration
from server.db.engine.database import Connection, Database
from server.db.journal import finds, walks
from server.db.journal.finds import Find
from server.db.journal.walks import Claim
from server.db.state import history
from server.errors import DatabaseUnavailable, OmniError, PayloadError
from server.incoming.conversation_sync import message_changes
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest import Ingester
from server.incoming.sync_outcome import SyncOutcome
from server.incoming.unstored import Place
from server.integrations.arrivals import LATE_SECONDS, Arrivals
from server.integrations.directory import Directory
from server.settings import Settings

_logger = log.get(__name__)
_LOOK_SECONDS = 1.0
# after a process died in a round, others wait this long; a living one renews it as it goes
_LEASE_SECONDS = 45.0
_RENEW_SECONDS = 10.0  # of the lease: renewed when this much has gone
_FIRST_WINDOW_SECONDS = 24 * 3600.0
_MARGIN_SECONDS = 120.0  # clocks differ, and rows move between pages while one reads
_START_SECONDS = 10.0  # processes that start together leave the first round to one of them
# a turn that another process had, or that the database did not let us take, is asked for again
# after this
_AGAIN_SECONDS = 5.0
_TELL_SECONDS = 2.0
_AT_ONCE = 16
_AT_ONCE_OF_ONE = 2  # a Chatwoot that hangs takes no more places than this
_FAILURES_MOST = 3
_GONE = 404  # deleted since it was listed
_LATE_EVERY_SECONDS = LATE_SECONDS  # between two rounds while webhooks are later than this
_UPDATED_MOST_SECONDS = 900.0  # asked for by `updated_within`, which Chatwoot does not page
_UPDATED_REST_SECONDS = 600.0  # after it could not answer that question, it is not asked
_NEWEST = 20  # messages of each conversation that are looked at for edits

Json = dict[str, Any]
ClientOf = Callable[[Integration], ChatwootClient]


class Round(msgspec.Struct):
    """One integration's reconciliation, as it goes."""

    integration: Integration
    client: ChatwootClient
    claim: Claim
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
        return self.conversations + self.messages + self.edits


class Reconcile:
    def __init__(
        self,
        database: Database,
        directory: Directory,
        ingester: Ingester,
        client_of: ClientOf,
        settings: Settings,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._arrivals = arrivals or Arrivals()
        # integration -> when a round last looked for edits of hours ago
        self._whole_at: dict[int, float] = {}
        self._database = database
        self._directory = directory
        self._ingester = ingester
        self._client_of = client_of
        self._settings = settings
        self._tried_at: dict[int, float] = {}
        self._under_way: dict[int, str] = {}  # integration -> the Chatwoot it is asked of
        self._told_seen: dict[int, int] = {}
        self._turns: dict[int, EditTurns] = {}
        # integration -> when it may be asked for `updated_within` again
        self._rests_until: dict[int, float] = {}

    async def run(self) -> None:
        """Look once a second whose turn it is. A Chatwoot that hangs holds back its own
        integrations and no others.
        """
        self._under_way = {}
        async with asyncio.TaskGroup() as group:
            while True:
                for integration in self._due():
                    self._under_way[integration.id] = integration.base_url
                    group.create_task(self._round(integration))
                await self._tell_seen()
                await asyncio.sleep(_LOOK_SECONDS)

    def problems(self) -> list[str]:
        """Sentences for the status: webhooks that do not arrive, a Chatwoot that cannot be asked.
        The same in every process.
        """
        active = [
            integration
            for integration in self._directory.integrations.values()
            if integration.is_active
        ]
        # something happened so long after the last webhook, and none told of it: an old loss that
        # is found late is no sign of that
        quiet_us = int(self._settings.reconcile_quiet_seconds * SECOND)
        silent = [
            f"integration {i.id}: webhooks do not arrive ({i.repaired_count} were lost so far, "
            "others may only be late); "
            "check the webhook in Chatwoot and that it can reach us"
            for i in active
            if self._seen_us(i) < i.repaired_us - quiet_us
        ]
        silent += self._arrivals.problems([i.id for i in active])
        return silent + [
            f"integration {i.id}: Chatwoot cannot be asked ({i.walk_problem})"
            for i in active
            if i.walk_problem
        ]

    async def reconcile(self, integration: Integration, every_seconds: float = 0.0) -> Round | None:
        """One round, unless another process is at it or began one less than `every_seconds` ago.
        Returns what it repaired; None when it was not its turn or did not end.
        """
        every_us = int(every_seconds * SECOND)

        async def take(connection: Connection) -> tuple[int, walks.Claim | None]:
            now_us = await self._database.clock.read(connection)
            lease_us = now_us + int(_LEASE_SECONDS * SECOND)
            return now_us, await walks.claim_walk(
                connection, integration.id, now_us, lease_us, every_us
            )

        try:
            started_us, claim = await self._database.transaction(take, attempts=1)
            if claim is None:
                return None
            before_us = claim.reconciled_us or started_us - int(_FIRST_WINDOW_SECONDS * SECOND)
            since_us = before_us - int(_MARGIN_SECONDS * SECOND)
            until_us = started_us - int(self._settings.reconcile_grace_seconds * SECOND)
            outcome = SyncOutcome(integration.id)
            current = Round(
                integration,
                self._client_of(integration),
                claim,
                since_us,
                until_us,
                outcome,
                claim.reconciled_us == 0,
            )
            try:
                problem = await self._walk(current)
            # this process stops: the next one must not wait for a lease that nobody uses
            except asyncio.CancelledError:
                with contextlib.suppress(DatabaseUnavailable):
                    await self._database.transaction(
                        lambda c: walks.renew_walk(c, current.claim, started_us), attempts=1
                    )
                raise
            is_whole = problem is None and not outcome.errors
            await self._release(current, until_us if is_whole else None, problem)
        except DatabaseUnavailable:
            return None
        return current if is_whole else None

    async def _round(self, integration: Integration) -> None:
        is_start = integration.id not in self._tried_at
        self._tried_at[integration.id] = time.monotonic()
        try:
            await self.reconcile(
                integration,
                min(_START_SECONDS, self._every(integration))
                if is_start
                else self._every(integration),
            )
        # something nobody thought of, in one integration's data: it must not end the rounds of all
        # others
        except Exception:
            _logger.exception("round failed", integration_id=integration.id)
        finally:
            del self._under_way[integration.id]

    async def _release(
        self, current: Round, reconciled_us: int | None, problem: str | None
    ) -> None:
        await self._database.transaction(
            lambda c: walks.release_walk(
                c,
                current.claim,
                reconciled_us=reconciled_us,
                newest_us=current.newest_us,
                problem=problem,
            )
        )
        if current.repaired:
            _logger.warning(
                "repaired what no webhook told",
                integration_id=current.integration.id,
                conversations=current.conversations,
                messages=current.messages,
                edits=current.edits,
            )

    async def _walk(self, current: Round) -> str | None:
        """Ask for every conversation that changed, or was active lately. Returns why it could not
        come to its end, else None.
        """
        try:
            turns = self._turns.setdefault(current.integration.id, EditTurns())
            for item in turns.choose(await self._changed(current), edit_turns.UNCHANGED_MOST):
                if not await self._keeps_lease(current):
                    return "another process went on with it"
                if await self._try_conversation(current, item):
                    turns.note(item, current.until_us)
        except DatabaseUnavailable:
            raise
        except OmniError as error:
            return error.message
        return None

    async def _try_conversation(self, current: Round, item: Json) -> bool:
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
            if current.failures >= _FAILURES_MOST:
                raise
            current.outcome.fail(f"conversation {item.get('id')}: {error.message}")
        else:
            current.failures = 0
            return current.outcome.error_count == broken
        return False

    async def _keeps_lease(self, current: Round) -> bool:
        now_us, claim = self._database.clock.now_us(), current.claim
        if claim.lease_us - now_us > int((_LEASE_SECONDS - _RENEW_SECONDS) * SECOND):
            return True
        lease_us = now_us + int(_LEASE_SECONDS * SECOND)
        is_ours = await self._database.transaction(lambda c: walks.renew_walk(c, claim, lease_us))
        current.claim = replace(claim, lease_us=lease_us)
        return is_ours

    async def _changed(self, current: Round) -> list[Json]:
        """Conversations whose state changed since, and those active within the hours in which edits
        are looked for.
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

    async def _updated(self, current: Round, seconds: int) -> list[Json]:
        """What changed without a message, lately. After a bulk act Chatwoot cannot answer this at
        all: then it is left in peace, and what had messages is found by its last activity.
        """
        place = current.integration.id
        if seconds > _UPDATED_MOST_SECONDS or time.monotonic() < self._rests_until.get(place, 0.0):
            return []
        try:
            return await current.client.list_updated(seconds, inbox_id=current.integration.inbox_id)
        except ChatwootUnavailable:
            self._rests_until[place] = time.monotonic() + _UPDATED_REST_SECONDS
            return []

    async def _conversation(self, current: Round, item: Json) -> None:
        try:
            state = parse_conversation(item, asked_us=current.asked_us)
        except PayloadError as error:
            current.outcome.fail(error.message)
            return
        if self._is_due_by(state.version_us, current):
            await self._apply(current, [Change(None, None, state, None, state.version_us)])
        place, number = current.integration.id, state.display_id
        low = await self._database.read(
            lambda c: history.read_low(c, place, number, current.since_us, _NEWEST)
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

    def _is_due_by(self, moment_us: int, current: Round) -> bool:
        """What is younger than the grace is left to its webhook; what is of the future, by a clock
        of Chatwoot's that is ahead, is not.
        """
        return moment_us <= current.until_us or moment_us > self._database.clock.now_us() + SKEW_US

    async def _apply(self, current: Round, changes: Sequence[Change]) -> None:
        source, now_us = (
            Source(current.integration.id, current.integration.company_id),
            self._database.clock.now_us(),
        )
        told = [IncomingChange(source, change, now_us) for change in changes]
        if told:
            await self._ingester.apply(told)
            await self._note_finds(current, told)

    async def _note_finds(self, current: Round, told: Sequence[IncomingChange]) -> None:
        """What was there before the integration was added is no loss of its webhook."""
        if current.is_first:
            return
        found = [find for one in told if (find := _find_of(one)) is not None]
        for one in found:
            metrics.repairs.labels(one.kind).inc()
            current.conversations += one.kind == "conversation"
            current.messages += one.kind == "message"
            current.edits += one.kind == "edit"
            current.newest_us = max(current.newest_us, one.happened_us)
            if one.kind == "message":
                self._arrivals.note("asking", one.integration_id, one.happened_us)
        await self._ingester.unstored.store_each(
            found, lambda one: Place(one.integration_id, 0, one.number), self._append_finds
        )

    async def _append_finds(self, found: Sequence[Find]) -> None:
        if found:
            await self._database.transaction(lambda c: finds.append_finds(c, found))

    def _due(self) -> list[Integration]:
        """Whose turn it is, those who wait longest first: not too many at once, and few of one
        Chatwoot.
        """
        waiting = [
            i
            for i in self._directory.integrations.values()
            if i.id not in self._under_way and self._is_due(i)
        ]
        addresses, room = Counter(self._under_way.values()), _AT_ONCE - len(self._under_way)
        due: list[Integration] = []
        for integration in sorted(waiting, key=lambda i: self._tried_at.get(i.id, 0.0)):
            if len(due) < room and addresses[integration.base_url] < _AT_ONCE_OF_ONE:
                addresses[integration.base_url] += 1
                due.append(integration)
        return due

    def _is_due(self, integration: Integration) -> bool:
        if (
            not integration.is_active
            or integration.problem
            or not integration.base_url
            or not integration.access_token
        ):
            return False
        tried_at = self._tried_at.get(integration.id)
        if tried_at is None:
            return True
        every = self._every(integration)
        if time.monotonic() - tried_at < min(every, _AGAIN_SECONDS):
            return False
        age = self._database.clock.now_seconds() - integration.walked_us / SECOND
        return age >= every or age < 0  # in the future: a clock was wrong

    def _every(self, integration: Integration) -> float:
        """Seconds between two rounds, of all processes together."""
        is_quiet = (
            self._database.clock.now_seconds() - self._seen_us(integration) / SECOND
            > self._settings.reconcile_quiet_seconds
        )
        often = self._settings.reconcile_seconds
        if self._arrivals.is_late(integration.id):
            return min(often, _LATE_EVERY_SECONDS)
        return min(self._settings.reconcile_quiet_seconds, often) if is_quiet else often

    def _is_short(self, integration: Integration) -> bool:
        """While webhooks are late it is asked often, and then only for what changed since the last
        time.
        """
        whole_at = self._whole_at.get(integration.id)
        is_due = whole_at is None or time.monotonic() - whole_at >= self._settings.reconcile_seconds
        return self._arrivals.is_late(integration.id) and not is_due

    def _seen_us(self, integration: Integration) -> int:
        """When its webhooks came last, to whatever process."""
        return max(integration.seen_us, self._ingester.seen.get(integration.id, 0))

    async def _tell_seen(self) -> None:
        """Let the other processes know what came to this one."""
        new = {
            i: at
            for i, at in self._ingester.seen.items()
            if at - self._told_seen.get(i, 0) > _TELL_SECONDS * SECOND
        }
        if not new:
            return
        try:
            await self._database.transaction(lambda c: walks.write_seen(c, new), attempts=1)
        except DatabaseUnavailable:
            return
        self._told_seen |= new


def _find_of(told: IncomingChange) -> Find | None:
    """What this brought that no webhook had told of."""
    source, change, message = told.source, told.change, told.change.message
    if message is None or message.message_id is None:
        if told.conversation is Result.SAME:
            return None
        number, version_us = change.conversation.display_id, change.conversation.version_us
        return Find(source.integration_id, "conversation", number, version_us, told.received_us)
    kind = {Result.CREATED: "message", Result.UPDATED: "edit"}.get(told.message)
    return (
        Find(source.integration_id, kind, message.message_id, message.created_us, told.received_us)
        if kind
        else None
    )


def _is_recent(item: Json, active_us: int) -> bool:
    return (
        max(parse_time(item.get("last_activity_at")) or 0, parse_time(item.get("updated_at")) or 0)
        >= active_us
    )
