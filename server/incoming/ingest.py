"""Journal -> state and events: the ingester turns deliveries into changes, many in one transaction.
It does not poll; a slow sweep finds what a process that died has left.
"""

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from server import log, metrics
from server.core.chatwoot.changes import Change
from server.core.chatwoot.future_times import within_present
from server.core.chatwoot.payloads import parse_delivery, strip_credentials
from server.core.state.presence_state import TypingNews
from server.core.state.projection import Result, Source, WorkingSet
from server.core.state.recovery import Stream
from server.core.times import SECOND
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.engine.sql_connection import Row
from server.db.journal import journal, journal_reads
from server.db.journal.journal import SOCKET, SOURCE, Delivery
from server.db.journal.journal_reads import Waiting
from server.db.state import store
from server.db.state.contacts import find_conversations
from server.errors import (
    BadSignature,
    CompanyBusy,
    DatabaseRefuses,
    DatabaseRetryable,
    DatabaseUnavailable,
    LostUnderWay,
    PayloadError,
    Unavailable,
)
from server.incoming.suspects import Suspects, traceback_of
from server.incoming.unstored import Place, Unstored
from server.integrations.arrivals import Arrivals
from server.integrations.directory import SIGNATURE_HEADER, UNDECIDED, Directory
from server.log import is_debug
from server.traces import CARRIED, Traces

_logger = log.get(__name__)
_SWEEP_SECONDS = 1.0
# a batch of this many means hundreds a second: the next one waits a moment, so that it is larger
# and each delivery cheaper
_BURST = 20
_GATHER_SECONDS = 0.02
_RENEW_SECONDS = 0.1  # strangers' deliveries make us read the directory at most ten times a second
# what came later than this from now was received by a clock that is wrong, and is not waited for
_SKEW_US = 10 * SECOND
_TYPING_US = 6 * SECOND  # older than this, typing has ended
# deliveries that are taken whoever sent them: more than that is a backlog, in which companies take
# turns
_FIRST = 24
# until a company that somebody else holds is tried again
_BUSY_FIRST_SECONDS, _BUSY_MOST_SECONDS = 0.004, 0.25
_CRASHES_MOST = 2
_MAX_REMEMBERED = 5_000

Publish = Callable[[EventBatch], None]


# Company -> (conversation, agent in Chatwoot or None: its customer) -> whether they type: shown,
# and kept nowhere but in the journal
Typing = Mapping[int, TypingNews]


class Ingested(msgspec.Struct, frozen=True):
    """What a committed transaction leaves to be announced."""

    batches: Sequence[EventBatch] = ()
    typing: Typing = MappingProxyType({})
    told: Sequence["Told"] = ()


class Told(msgspec.Struct):
    """A change on its way into a working set, and what became of it."""

    source: Source
    change: Change
    received_us: int
    delivery_id: int | None = None
    traceparent: str | None = None
    conversation: Result = Result.SAME
    message: Result = Result.SAME
    is_heard: bool = False  # by Chatwoot's socket, not by a webhook
    problem: str = ""  # why it could not be stored


def place_of(told: Told) -> Place:
    """Where it stands in Chatwoot."""
    message = told.change.message
    return Place(
        told.source.integration_id,
        told.change.conversation.display_id,
        message.message_id if message else None,
    )


class Taken(msgspec.Struct):
    """What one transaction came to. `is_full`: there is more. `busy`: companies that somebody else
    holds; their deliveries were left.
    """

    is_full: bool = False
    ingested: Ingested = Ingested()
    counts: dict[str, int] = {}
    busy: set[int] = set()
    served: set[int] = set()
    failed: list[tuple[int, Exception]] = []
    has_held: bool = False  # deliveries that wait for the directory
    seen: dict[int, int] = {}  # integration -> its last webhook of these, microseconds
    selection: "Selection | None" = None

    @property
    def ended(self) -> int:
        return sum(self.counts.values())


class _Locked(NamedTuple):
    """Streams and deliveries that are ours until the COMMIT."""

    streams: dict[int, Stream]
    working_set: WorkingSet
    free: set[int]


class Selection(NamedTuple):
    """Deliveries of one transaction, and where the turns of the companies stand after it."""

    waiting: Waiting
    is_behind: bool
    turn_after: int | None


Select = Callable[[Connection], Awaitable[Selection]]


class Ingester:
    """Turns received deliveries, and changes read from Chatwoot, into state and events."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        publish: Publish,
        *,
        batch: int,
        attempts: int,
        on_typing: Callable[[int, TypingNews], None] = lambda company_id, typing: None,
        traces: Traces | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._traces = traces
        self._arrivals = arrivals or Arrivals()
        self._database = database
        self._directory = directory
        self._publish = publish
        self._on_typing = on_typing
        self._batch = batch
        self._wake = asyncio.Event()
        self._is_directory_old = False
        self._is_behind = False  # there is a backlog: companies take turns
        self._turn_after: int | None = None
        # company that somebody else holds -> (next try, pause)
        self._busy: dict[int, tuple[float, float]] = {}
        self._read: list[Delivery] = []  # what the transaction under way has read
        self._crashes = 0
        # delivery that was understood lately -> whose it is
        self._integration_of: dict[int, int] = {}
        self._suspects = Suspects(
            database,
            self._take_suspects,
            batch=batch,
            attempts=attempts,
            integration_of=self._integration_of.get,
        )
        self.unstored = Unstored()
        self.seen: dict[int, int] = {}  # integration -> last delivery, microseconds

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Take what is there, in turns by company; beside it, what failed is examined and tried
        again.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_turns())
            group.create_task(self._suspects.run())

    async def _run_turns(self) -> None:
        """Take batches as long as there are more, then wait for the next delivery, the next sweep,
        or a company that was busy.
        """
        while True:
            self._wake.clear()
            if self._directory.is_loaded:
                await self._take_all()
            now = time.monotonic()
            seconds = min(
                [_SWEEP_SECONDS, *(due - now for due, _ in self._busy.values() if due > now)]
            )
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def apply(self, told: Sequence[Told]) -> None:
        """Take in changes that no delivery carries (sync, reconcile). Sets what became of each; one
        that cannot be stored has its `problem`, and ends nothing for the others. Raises
        DatabaseUnavailable.
        """
        for one, reason in await self.unstored.store_each(told, place_of, self._store):
            one.conversation = one.message = Result.SAME
            one.problem = reason

    async def _store(self, told: Sequence[Told]) -> None:
        batches = await self._database.transaction(lambda c: self._apply(c, told))
        for batch in batches:
            self._publish(batch)

    async def _take_all(self) -> None:
        """Everything that is there now, but for companies that somebody else holds."""
        while True:
            if self._is_directory_old and not await self._renew_directory():
                return
            taken = await self._take(self._select)
            if taken is None or not (self._is_directory_old or (taken.is_full and taken.ended)):
                break
        if taken is not None and taken.ended >= _BURST:
            await asyncio.sleep(_GATHER_SECONDS)

    async def _renew_directory(self) -> bool:
        """Read the integrations again, as a delivery came for one that is not known; it stays in
        the journal until then.
        """
        await asyncio.sleep(_RENEW_SECONDS)
        try:
            await self._directory.refresh()
        except Unavailable:
            return False
        self._is_directory_old = False
        return True

    async def _take(self, select: Select) -> Taken | None:
        """One transaction. None when it failed: then its companies are examined one by one, unless
        the database is away.
        """
        began_us = self._database.clock.now_us()
        self._read = []
        try:
            taken = await self._database.transaction(lambda c: self._ingest(c, select), attempts=2)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others
            await self._suspect(error)
            return None
        self._crashes = 0
        if taken.selection is not None:
            _, self._is_behind, self._turn_after = taken.selection
        await self._conclude(taken, began_us)
        return taken

    async def _take_suspects(self, ids: Sequence[int]) -> None:
        """Deliveries by their ids, alone in their transaction. Raises what makes it fail,
        CompanyBusy when somebody holds them.
        """
        began_us, has_begun = self._database.clock.now_us(), False

        async def select(connection: Connection) -> Selection:
            nonlocal has_begun
            waiting = await journal_reads.read_by_ids(connection, ids)
            has_begun = True
            return Selection(waiting, self._is_behind, self._turn_after)

        try:
            taken = await self._database.transaction(lambda c: self._ingest(c, select), attempts=2)
        except (DatabaseRetryable, DatabaseRefuses):
            raise
        except DatabaseUnavailable as error:
            raise (LostUnderWay(error.message) if has_begun else error) from None
        await self._conclude(taken, began_us)
        if taken.busy:
            raise CompanyBusy(taken.busy)

    async def _conclude(self, taken: Taken, began_us: int) -> None:
        """After the commit."""
        for integration_id, seen_us in taken.seen.items():
            self.seen[integration_id] = max(seen_us, self.seen.get(integration_id, 0))
        self._announce(taken.ingested, began_us)
        self.unstored.forget(place_of(one) for one in taken.ingested.told)
        self._arrivals.note_all(
            (
                "socket" if one.is_heard else "webhook",
                one.source.integration_id,
                one.change,
                one.received_us,
            )
            for one in taken.ingested.told
        )
        self._is_directory_old |= taken.has_held
        for state, count in taken.counts.items():
            metrics.deliveries_ingested.labels(state).inc(count)
        now = time.monotonic()
        for company_id in taken.busy:
            delay = (
                min(_BUSY_MOST_SECONDS, 2 * self._busy[company_id][1])
                if company_id in self._busy
                else _BUSY_FIRST_SECONDS
            )
            # jitter, not a secret
            self._busy[company_id] = (now + delay * (0.5 + random.random()), delay)  # noqa: S311
        for company_id in taken.served:
            self._busy.pop(company_id, None)
        self._database.busy.note(taken.busy)
        self._database.busy.clear(taken.served)
        for delivery_id, error in taken.failed:
            with contextlib.suppress(DatabaseUnavailable):
                await self._suspects.blame(delivery_id, error)

    async def _suspect(self, error: Exception) -> None:
        """A batch failed. Was it the database that was away, or one of these?"""
        # in words that accuse no row; the next sweep tries again
        if isinstance(error, DatabaseRefuses):
            return
        took_writes = await self._suspects.takes_writes()
        if not took_writes:
            # it went away under this batch; twice in a row is no chance
            self._crashes += bool(self._read)
        if took_writes or self._crashes >= _CRASHES_MOST:
            _logger.error(
                "batch failed, its companies are examined one by one",
                error=str(error),
                exc_info=traceback_of(error),
            )
            companies = {one.company_id for one in self._read}
            # it failed while it was reading: any of them may be to blame
            with contextlib.suppress(DatabaseUnavailable):
                companies = companies or set(
                    await self._database.read(journal_reads.read_companies)
                )
            self._suspects.add(companies)

    async def _select(self, connection: Connection) -> Selection:
        """The oldest deliveries; where there are many, as many of each company."""
        skipped = {
            *self._suspects.companies,
            *(i for i, (due, _) in self._busy.items() if due > time.monotonic()),
        }
        if not self._is_behind:
            waiting = await journal_reads.read_oldest(connection, _FIRST)
            free = [one for one in waiting.deliveries if one.company_id not in skipped]
            waiting = Waiting(free, waiting.unreadable, waiting.is_full)
            return Selection(waiting, waiting.is_full, self._turn_after)
        ids, turn_after = await journal_reads.read_turns(
            connection, self._batch, skipped, self._turn_after
        )
        is_behind = len(ids) >= _FIRST or turn_after is not None
        waiting = await journal_reads.read_by_ids(connection, ids) if ids else Waiting()
        waiting = Waiting(waiting.deliveries, waiting.unreadable, is_behind)
        return Selection(waiting, is_behind, turn_after)

    async def _ingest(self, connection: Connection, select: Select) -> Taken:
        selection = await select(connection)
        waiting = selection.waiting
        self._read = list(waiting.deliveries)
        taken = Taken(is_full=waiting.is_full, selection=selection)
        told: list[Told] = []
        parked = [(one.id, "dead", one.reason) for one in waiting.unreadable]
        for delivery in waiting.deliveries:
            try:
                one = self._understand(delivery)
                self._remember(delivery.id, one.source.integration_id)
                if not one.is_heard:  # what the socket tells says nothing of webhooks
                    seen_us = min(delivery.received_us, self._database.clock.now_us())
                    number = one.source.integration_id
                    taken.seen[number] = max(seen_us, taken.seen.get(number, 0))
                if (contact := one.change.contact_told) is None:
                    told.append(one)
                else:
                    told += await self._spread(connection, one, contact.id or 0)
            except PayloadError as error:
                if (
                    error.is_routing
                    and self._directory.as_of_us
                    <= delivery.received_us
                    <= self._database.clock.now_us() + _SKEW_US
                ):
                    # its integration may have been added just before it came: looked at once more
                    taken.has_held = True
                    continue
                parked.append((delivery.id, error.outcome, error.message))
            # a mistake of ours with this one, which the others must not pay for
            except Exception as error:  # noqa: BLE001
                taken.failed.append((delivery.id, error))
        if told or parked:
            await self._ingest_these(connection, taken, waiting.deliveries, told, parked)
        return taken

    def _remember(self, delivery_id: int, integration_id: int) -> None:
        if len(self._integration_of) >= _MAX_REMEMBERED:
            self._integration_of.clear()
        self._integration_of[delivery_id] = integration_id

    async def _spread(self, connection: Connection, told: Told, contact_id: int) -> list[Told]:
        """A contact's news for each of their conversations, in every inbox of the account. Raises
        PayloadError where there is none.
        """
        company_id, siblings = (
            told.source.company_id,
            self._directory.siblings(told.source.integration_id),
        )
        found = await find_conversations(connection, siblings, contact_id)
        if not found:
            raise PayloadError("the contact has no conversation here", outcome="ignored")
        state = told.change.conversation
        changes = [
            (one, replace(told.change, conversation=replace(state, display_id=number)))
            for one, number in found
        ]
        return [
            replace(told, source=Source(one, company_id), change=change) for one, change in changes
        ]

    async def _ingest_these(
        self,
        connection: Connection,
        taken: Taken,
        deliveries: Sequence[Delivery],
        told: list[Told],
        parked: list[tuple[int, str, str]],
    ) -> None:
        """Lock the companies nobody holds, then their deliveries; what is held stays in the
        journal, and what came after it.
        """
        ids = [one.delivery_id for one in told if one.delivery_id is not None] + [
            one[0] for one in parked
        ]
        locked = await self._lock(connection, told, ids)
        held = set(ids) - locked.free
        if held:
            held &= await journal_reads.read_held(connection, held)
        # company -> the first of its deliveries that another process works on
        edges: dict[int, int] = {}
        for one in told:
            if one.delivery_id in held:
                edges.setdefault(one.source.company_id, one.delivery_id or 0)
        taken.busy = {
            one.source.company_id for one in told if one.change.typing is None
        } - locked.streams.keys()
        mine = [
            one
            for one in told
            if one.delivery_id in locked.free
            and one.source.company_id not in taken.busy
            and (one.delivery_id or 0) < edges.get(one.source.company_id, sys.maxsize)
        ]
        parked = [one for one in parked if one[0] in locked.free]
        taken.busy |= edges.keys()
        taken.served = locked.streams.keys() - taken.busy
        batches = await self._apply_to(
            connection, locked, [t for t in mine if t.change.typing is None]
        )
        typing = await self._find_typing(
            connection, [t for t in mine if t.change.typing is not None]
        )
        taken.ingested = Ingested(batches, typing, mine)
        taken.counts = Counter(done=len({one.delivery_id for one in mine})) + Counter(
            state for _, state, _ in parked
        )
        await self._mark(connection, deliveries, told, mine, parked)

    async def _lock(
        self, connection: Connection, told: Sequence[Told], ids: Sequence[int]
    ) -> "_Locked":
        lock = journal_reads.lock_waiting(connection.dialect, ids)
        changes = [
            (one.source, within_present(one.change, one.received_us))
            for one in told
            if one.change.typing is None
        ]
        if not changes:
            [rows] = await connection.fetch_each(lock)
            return _Locked({}, WorkingSet({}), await self._locked_ids(connection, ids, rows))
        streams, working_set, [rows] = await store.load_free_working_set(connection, changes, lock)
        working_set.entries = {
            key: entry
            for key, entry in working_set.entries.items()
            if entry.row.company_id in streams
        }
        return _Locked(streams, working_set, await self._locked_ids(connection, ids, rows))

    async def _locked_ids(
        self, connection: Connection, ids: Sequence[int], counted: Sequence[Row]
    ) -> set[int]:
        """Which of them are ours: all, as their number nearly always says, or those that are asked
        for by name.
        """
        if int(counted[0][0]) == len(set(ids)):
            return set(ids)
        return await journal_reads.lock_each(connection, ids)

    async def _mark(
        self,
        connection: Connection,
        deliveries: Sequence[Delivery],
        told: Sequence[Told],
        mine: Sequence[Told],
        parked: Sequence[tuple[int, str, str]],
    ) -> None:
        """What became of each, with the COMMIT."""
        now = self._database.clock.now_us()
        for integration_id in {one.source.integration_id for one in mine}:
            own = [
                one.delivery_id
                for one in mine
                if one.source.integration_id == integration_id and one.delivery_id is not None
            ]
            await journal.mark_done(connection, own, integration_id, now)
        if parked:
            await journal.mark_parked(connection, parked, now)
        ended = {one.delivery_id for one in mine} | {one[0] for one in parked}
        undecided = {number for number, _, reason in parked if reason == UNDECIDED}
        for delivery in deliveries:
            # kept whole until its signature is judged
            if not delivery.is_verified and delivery.id in ended - undecided:
                stripped = strip_credentials(delivery.body.encode()).decode()
                await journal.replace_body(connection, delivery.id, stripped)
        hints = {delivery.id: delivery.company_id for delivery in deliveries}
        found = {
            one.delivery_id: one.source.company_id
            for one in told
            if one.delivery_id is not None and one.delivery_id not in ended
        }
        if new := {
            number: company_id
            for number, company_id in found.items()
            if hints[number] != company_id
        }:
            await journal.set_companies(connection, new)

    async def _apply_to(
        self, connection: Connection, locked: "_Locked", told: Sequence[Told]
    ) -> list[EventBatch]:
        if not told:
            return []
        started = time.perf_counter()
        batches = await self._save(connection, locked.working_set, locked.streams, told)
        _count_seconds(connection, started)
        return batches

    async def _save(
        self,
        connection: Connection,
        working_set: WorkingSet,
        streams: dict[int, Stream],
        told: Sequence[Told],
    ) -> list[EventBatch]:
        working_set.heal(self._database.clock.now_us())
        for one in told:
            one.conversation, one.message = working_set.apply(
                one.change, one.source, one.received_us
            )
        return await store.save_working_set(
            connection, working_set, streams, self._database.clock.now_us()
        )

    async def _find_typing(self, connection: Connection, told: Sequence[Told]) -> Typing:
        """Who types: in conversations that agents have, the last of a batch. What is told too late
        is shown to nobody.
        """
        found: dict[int, dict[tuple[int, str | None], bool]] = defaultdict(dict)
        for one in told:
            conversation_id = await store.find_conversation(
                connection, one.source.integration_id, one.change.conversation.display_id
            )
            if (
                conversation_id is not None
                and self._database.clock.now_us() - one.received_us < _TYPING_US
            ):
                found[one.source.company_id][conversation_id, one.change.typist] = bool(
                    one.change.typing
                )
        return found

    async def _apply(self, connection: Connection, told: Sequence[Told]) -> list[EventBatch]:
        if not told:
            return []
        started = time.perf_counter()
        changes = [(t.source, within_present(t.change, t.received_us)) for t in told]
        streams, working_set = await store.load_working_set(connection, changes)
        batches = await self._save(connection, working_set, streams, told)
        _count_seconds(connection, started)
        return batches

    def _understand(self, delivery: Delivery) -> Told:
        """Parse and route one delivery. Raises PayloadError with its outcome."""
        change = parse_delivery(delivery.body, delivery.received_us)
        verified_id = delivery.integration_id
        is_heard = delivery.headers.get(SOURCE) == SOCKET
        # kept while the directory was not there: judged now, by the time it came
        if not delivery.is_verified:
            try:
                verified_id = self._directory.verify(
                    change.account_id,
                    change.inbox_id,
                    delivery.headers,
                    delivery.body.encode(),
                    delivery.received_us,
                )
            except BadSignature as error:
                raise PayloadError(error.message, is_routing=True) from None
        is_signed = SIGNATURE_HEADER in delivery.headers
        integration = self._directory.find(
            change.account_id, change.inbox_id, verified_id, is_signed=is_signed
        )
        traceparent = delivery.headers.get(CARRIED)
        source = Source(integration.id, integration.company_id)
        return Told(
            source, change, delivery.received_us, delivery.id, traceparent, is_heard=is_heard
        )

    def _announce(self, ingested: Ingested, began_us: int) -> None:
        now = self._database.clock.now_us()
        is_told = self._traces is not None or is_debug()
        for company_id, typing in ingested.typing.items():
            self._on_typing(company_id, typing)
        for batch in ingested.batches:
            metrics.webhook_to_publish_seconds.observe((now - batch.received_us) / SECOND)
            if is_told:
                told = [one for one in ingested.told if one.source.company_id == batch.company_id]
                self._publish_told(batch, told, began_us, now)
            else:
                self._publish(batch)

    def _publish_told(
        self, batch: EventBatch, told: Sequence[Told], began_us: int, committed_us: int
    ) -> None:
        """With a line in the log and spans in a trace, for whoever follows single messages."""
        about = {
            "company_id": batch.company_id,
            "first_seq": batch.first_seq,
            "last_seq": batch.last_seq,
        }
        belongs_to = [one.traceparent for one in told]
        if self._traces is not None:
            ingest = self._traces.note(
                "ingest", began_us, committed_us, belongs_to, deliveries=len(told), **about
            )
            batch = replace(batch, traceparent=ingest)
        self._publish(batch)
        published_us = self._database.clock.now_us()
        if self._traces is not None and batch.traceparent is not None:
            self._traces.note("publish", committed_us, published_us, [batch.traceparent], **about)
        _logger.debug(
            "batch",
            **about,
            delivery_ids=[one.delivery_id for one in told],
            waited_ms=(began_us - batch.received_us) / 1e3,
            ingest_ms=(committed_us - began_us) / 1e3,
            publish_ms=(published_us - committed_us) / 1e3,
            trace_id=None if batch.traceparent is None else batch.traceparent.split("-")[1],
        )


def _count_seconds(connection: Connection, started: float) -> None:
    seconds = time.perf_counter() - started
    connection.after_commit(lambda: metrics.ingest_seconds.observe(seconds))
