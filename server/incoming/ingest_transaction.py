"""One transaction of the ingester: deliveries are read, their companies and they themselves locked,
state and events written, and what became of each delivery.

It holds SQL only and may run more than once: what it came to is in its `IngestResult`, which is
acted on after the commit.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from server import metrics
from server.core.chatwoot.agent_names import KnownNames, Rename
from server.core.chatwoot.future_times import within_present
from server.core.chatwoot.json_bodies import strip_credentials
from server.core.state.cursors import Stream
from server.core.state.projection import WorkingSet
from server.core.times import SECOND
from server.core.wire.event_frames import EventBatch
from server.db.engine.clock import DatabaseClock
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Row
from server.db.journal import journal, journal_reads
from server.db.journal.journal import Delivery
from server.db.journal.journal_reads import Waiting
from server.db.state import store
from server.db.state.working_set_loads import load_free_working_set, load_working_set
from server.db.state.working_set_saves import save_working_set
from server.errors import PayloadError
from server.incoming.announcements import Typing
from server.incoming.delivery_reader import DeliveryReader
from server.incoming.incoming_changes import IncomingChange
from server.integrations.directory import UNDECIDED
from server.problems import encode

_MAX_TYPING_AGE_US = 6 * SECOND  # older than this, typing has ended


class IngestResult(msgspec.Struct):
    """What one transaction came to, to be acted on after its commit."""

    is_full: bool = False  # there are more deliveries
    batches: Sequence[EventBatch] = ()
    typing: Typing = MappingProxyType({})
    incoming: Sequence[IncomingChange] = ()  # what was stored, or shown
    counts: dict[str, int] = {}  # deliveries by the state they ended in
    busy: set[int] = set()  # companies that are locked elsewhere: their deliveries were left
    served: set[int] = set()
    failed: list[tuple[int, Exception]] = []  # deliveries that cannot be read, by a fault of ours
    seen: dict[int, int] = {}  # integration -> its last webhook of these, microseconds
    is_directory_old: bool = False  # there are deliveries that wait for it

    @property
    def ended(self) -> int:
        """Deliveries that are done, dead or ignored."""
        return sum(self.counts.values())


class Parked(NamedTuple):
    """A delivery that changes nothing, and why."""

    delivery_id: int
    state: str
    reason: str
    is_damaged: bool = False  # not what was taken in


class Locked(NamedTuple):
    """Streams and deliveries that are ours until the COMMIT."""

    streams: dict[int, Stream]
    working_set: WorkingSet
    free: set[int]


class IngestTransaction:
    """Writes what deliveries, or changes that no delivery carries, do to state."""

    def __init__(
        self,
        clock: DatabaseClock,
        reader: DeliveryReader,
        names: KnownNames,
        on_renamed: Callable[[Sequence[Rename]], None],
    ) -> None:
        """`on_renamed`: after the commit, of agents and teams that were called otherwise."""
        self._clock = clock
        self._reader = reader
        self._names = names
        self._on_renamed = on_renamed

    async def store(
        self, connection: Connection, incoming: Sequence[IncomingChange]
    ) -> list[EventBatch]:
        """Apply changes that no delivery carries, and set what became of each."""
        if not incoming:
            return []
        started = time.perf_counter()
        changes = [(one.source, within_present(one.change, one.received_us)) for one in incoming]
        streams, working_set = await load_working_set(connection, changes)
        batches = await self._save(connection, working_set, streams, incoming)
        _time_ingest(connection, started)
        return batches

    async def ingest(self, connection: Connection, waiting: Waiting) -> IngestResult:
        """Apply deliveries that were just read on this connection."""
        result = IngestResult(is_full=waiting.is_full)
        incoming: list[IncomingChange] = []
        parked = [Parked(one.id, "dead", one.reason, True) for one in waiting.unreadable]
        for delivery in waiting.deliveries:
            try:
                incoming += await self._read(connection, delivery, result)
            except PayloadError as error:
                if self._reader.is_ahead_of_directory(delivery, error):
                    result.is_directory_old = True
                    continue
                reason = encode(error.problem) or ""
                parked.append(Parked(delivery.id, error.outcome, reason, error.is_damaged))
            # a mistake of ours with this one, which the others must not pay for
            except Exception as error:  # noqa: BLE001
                result.failed.append((delivery.id, error))
        if incoming or parked:
            await self._ingest_locked(connection, result, waiting.deliveries, incoming, parked)
        return result

    async def _read(
        self, connection: Connection, delivery: Delivery, result: IngestResult
    ) -> list[IncomingChange]:
        one = self._reader.read(delivery)
        integration_id = one.source.integration_id
        if not one.is_from_socket:  # what the socket brings says nothing of webhooks
            seen_us = min(delivery.received_us, self._clock.now_us())
            result.seen[integration_id] = max(seen_us, result.seen.get(integration_id, 0))
        if (contact := one.change.contact_update) is None:
            return [one]
        return await self._reader.spread_contact(connection, one, contact.id or 0)

    async def _ingest_locked(
        self,
        connection: Connection,
        result: IngestResult,
        deliveries: Sequence[Delivery],
        incoming: list[IncomingChange],
        parked: list[Parked],
    ) -> None:
        """Lock the companies that are free, then their deliveries; what is locked elsewhere stays
        in the journal, and what came after it.
        """
        ids = [one.delivery_id for one in incoming if one.delivery_id is not None]
        ids += [one.delivery_id for one in parked]
        locked = await self._lock(connection, incoming, ids)
        edges = await self._edges(connection, set(ids) - locked.free, incoming)
        busy = _companies_of(incoming) - locked.streams.keys()
        mine = [
            one
            for one in incoming
            if one.delivery_id in locked.free
            and one.source.company_id not in busy
            and (one.delivery_id or 0) < edges.get(one.source.company_id, sys.maxsize)
        ]
        parked = [one for one in parked if one.delivery_id in locked.free]
        result.busy = busy | edges.keys()
        result.served = locked.streams.keys() - result.busy
        result.batches = await self._apply(
            connection, locked, [one for one in mine if one.change.typing is None]
        )
        result.typing = await self._find_typing(connection, mine)
        result.incoming = mine
        result.counts = Counter(done=len({one.delivery_id for one in mine}))
        result.counts += Counter(one.state for one in parked)
        await self._mark(connection, deliveries, incoming, mine, parked)
        if damaged := {one.delivery_id for one in parked if one.is_damaged}:
            # counted once each, as they are tried again now and then
            known = len(damaged) - await journal.mark_damaged(connection, damaged)
            result.counts["dead"] -= known

    async def _edges(
        self, connection: Connection, held: set[int], incoming: Sequence[IncomingChange]
    ) -> dict[int, int]:
        """Company -> the first of its deliveries that another process works on."""
        if held:
            held &= await journal_reads.read_held(connection, held)
        edges: dict[int, int] = {}
        for one in incoming:
            if one.delivery_id in held:
                edges.setdefault(one.source.company_id, one.delivery_id or 0)
        return edges

    async def _lock(
        self, connection: Connection, incoming: Sequence[IncomingChange], ids: Sequence[int]
    ) -> Locked:
        lock = journal_reads.lock_waiting(connection.dialect, ids)
        changes = [
            (one.source, within_present(one.change, one.received_us))
            for one in incoming
            if one.change.typing is None
        ]
        if not changes:
            [rows] = await connection.fetch_each(lock)
            return Locked({}, WorkingSet({}), await self._locked_ids(connection, ids, rows))
        streams, working_set, [rows] = await load_free_working_set(connection, changes, lock)
        working_set.entries = {
            key: entry
            for key, entry in working_set.entries.items()
            if entry.row.company_id in streams
        }
        return Locked(streams, working_set, await self._locked_ids(connection, ids, rows))

    async def _locked_ids(
        self, connection: Connection, ids: Sequence[int], counted: Sequence[Row]
    ) -> set[int]:
        """Which of them are ours: all, as their number nearly always says, or those that are asked
        for by name.
        """
        if int(counted[0][0]) == len(set(ids)):
            return set(ids)
        return await journal_reads.lock_each(connection, ids)

    async def _apply(
        self, connection: Connection, locked: Locked, incoming: Sequence[IncomingChange]
    ) -> list[EventBatch]:
        if not incoming:
            return []
        started = time.perf_counter()
        batches = await self._save(connection, locked.working_set, locked.streams, incoming)
        _time_ingest(connection, started)
        return batches

    async def _save(
        self,
        connection: Connection,
        working_set: WorkingSet,
        streams: dict[int, Stream],
        incoming: Sequence[IncomingChange],
    ) -> list[EventBatch]:
        working_set.heal(self._clock.now_us())
        for one in incoming:
            one.change = self._names.corrected(
                one.source.integration_id, one.change, one.received_us
            )
            one.conversation, one.message = working_set.apply(
                one.change, one.source, one.received_us
            )
        renames = [
            rename
            for entry in working_set.entries.values()
            if entry.stored.id
            for rename in self._names.renames(entry.stored, entry.row)
        ]
        connection.after_commit(partial(self._learn, incoming, renames))
        return await save_working_set(connection, working_set, streams, self._clock.now_us())

    def _learn(self, incoming: Sequence[IncomingChange], renames: list[Rename]) -> None:
        for one in incoming:
            renames += self._names.learn(one.source.integration_id, one.change, one.received_us)
        if renames:
            self._on_renamed(renames)

    async def _mark(
        self,
        connection: Connection,
        deliveries: Sequence[Delivery],
        incoming: Sequence[IncomingChange],
        mine: Sequence[IncomingChange],
        parked: Sequence[Parked],
    ) -> None:
        """Write what became of each delivery."""
        now_us = self._clock.now_us()
        done = defaultdict[int, list[int]](list)
        for one in mine:
            if one.delivery_id is not None:
                done[one.source.integration_id].append(one.delivery_id)
        for integration_id, own in done.items():
            await journal.mark_done(connection, own, integration_id, now_us)
        if parked:
            await journal.mark_parked(connection, [one[:3] for one in parked], now_us)
        ended = {one.delivery_id for one in mine} | {one.delivery_id for one in parked}
        undecided = {one.delivery_id for one in parked if one.reason == UNDECIDED}
        for delivery in deliveries:
            # kept whole until its signature is judged
            if not delivery.is_verified and delivery.id in ended - undecided:
                stripped = strip_credentials(delivery.body.encode()).decode()
                await journal.replace_body(connection, delivery.id, stripped)
        hints = {delivery.id: delivery.company_id for delivery in deliveries}
        moved = {
            one.delivery_id: one.source.company_id
            for one in incoming
            if one.delivery_id is not None
            and one.delivery_id not in ended
            and hints[one.delivery_id] != one.source.company_id
        }
        if moved:
            await journal.set_companies(connection, moved)

    async def _find_typing(
        self, connection: Connection, incoming: Sequence[IncomingChange]
    ) -> Typing:
        """Who types: in conversations that agents have, the last of a batch. What comes too late is
        shown to nobody.
        """
        found: dict[int, dict[tuple[int, str | None], bool]] = defaultdict(dict)
        for one in incoming:
            if one.change.typing is None or self._reader.is_own_typing(one):
                continue
            conversation_id = await store.find_conversation(
                connection, one.source.integration_id, one.change.conversation.display_id
            )
            age_us = self._clock.now_us() - one.received_us
            if conversation_id is not None and age_us < _MAX_TYPING_AGE_US:
                key = conversation_id, one.change.typist
                found[one.source.company_id][key] = bool(one.change.typing)
        return found


def _companies_of(incoming: Sequence[IncomingChange]) -> set[int]:
    """Those whose state changes."""
    return {one.source.company_id for one in incoming if one.change.typing is None}


def _time_ingest(connection: Connection, started: float) -> None:
    seconds = time.perf_counter() - started
    connection.after_commit(partial(metrics.ingest_seconds.observe, seconds))
