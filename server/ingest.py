"""Journal -> state and events: the ingester turns deliveries into changes, many in one transaction. It does not poll; a slow sweep finds
what a process that died has left.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from server import log, metrics
from server.core.changes import Change
from server.core.events import EventBatch
from server.core.future import within_present
from server.core.payloads import parse_delivery, strip_credentials
from server.core.projection import Result, Source
from server.core.times import SECOND
from server.db import journal, store
from server.db.database import Connection, Database
from server.db.journal import Delivery
from server.directory import SIGNATURE_HEADER, Directory
from server.errors import BadSignature, DatabaseUnavailable, PayloadError, Unavailable
from server.log import is_debug
from server.traces import CARRIED, Traces

_logger = log.get(__name__)
_SWEEP_SECONDS = 1.0
_BURST = 20  # a batch of this many means hundreds a second: the next one waits a moment, so that it is larger and each delivery cheaper
_GATHER_SECONDS = 0.02
_RENEW_SECONDS = 0.1  # strangers' deliveries make us read the directory at most ten times a second
_SKEW_US = 10 * SECOND  # what came later than this from now was received by a clock that is wrong, and is not waited for
_TYPING_US = 6 * SECOND  # older than this, typing has ended
_RETRY_FIRST_SECONDS = 0.5
_RETRY_MOST_SECONDS = 60.0

Publish = Callable[[EventBatch], None]


def now_us() -> int:
    return int(time.time() * SECOND)


# Company -> conversation -> whether its customer types: shown, and kept nowhere but in the journal
Typing = Mapping[int, Mapping[int, bool]]


class Ingested(msgspec.Struct, frozen=True):
    """What a committed transaction leaves to be announced."""

    batches: Sequence[EventBatch] = ()
    typing: Typing = MappingProxyType({})
    told: Sequence["Told"] = ()


class Told(msgspec.Struct):
    """A change on its way into a board, and what became of it."""

    source: Source
    change: Change
    received_us: int
    delivery_id: int | None = None
    traceparent: str | None = None
    conversation: Result = Result.SAME
    message: Result = Result.SAME


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
        on_typing: Callable[[int, Mapping[int, bool]], None] = lambda company_id, typing: None,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._database, self._directory, self._publish, self._on_typing = database, directory, publish, on_typing
        self._batch, self._attempts = batch, attempts
        self._wake = asyncio.Event()
        self._is_directory_old = False
        self._retried_at = 0.0
        self.seen: dict[int, int] = {}  # integration -> last delivery, microseconds

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Take batches as long as there are full ones, then wait for the next delivery or the next sweep."""
        while True:
            self._wake.clear()
            if self._directory.is_loaded:
                await self._take_all()
                if time.monotonic() - self._retried_at >= _SWEEP_SECONDS:
                    self._retried_at = time.monotonic()
                    while await self._retry_one():
                        pass
            try:
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def apply(self, told: Sequence[Told]) -> None:
        """Take in changes that no delivery carries (sync, reconcile). Sets what became of each. Raises DatabaseUnavailable."""
        batches = await self._database.transaction(lambda c: self._apply(c, told))
        for batch in batches:
            self._publish(batch)

    async def _take_all(self) -> None:
        """Everything that is there now."""
        taken = self._batch
        while taken == self._batch or self._is_directory_old:
            if self._is_directory_old and not await self._renew_directory():
                return
            taken = await self._take_batch()
        if taken >= _BURST:
            await asyncio.sleep(_GATHER_SECONDS)

    async def _renew_directory(self) -> bool:
        """Read the integrations again, as a delivery came for one that is not known; it stays in the journal until then."""
        await asyncio.sleep(_RENEW_SECONDS)
        try:
            await self._directory.refresh()
        except Unavailable:
            return False
        self._is_directory_old = False
        return True

    async def _take_batch(self) -> int:
        began = time.time()
        try:
            taken, ingested = await self._database.transaction(self._ingest)
        except DatabaseUnavailable:
            return 0
        except Exception:
            _logger.exception("batch failed, trying each delivery alone")
            return await self._take_each()
        self._announce(ingested, began)
        return taken

    async def _ingest(self, connection: Connection) -> tuple[int, Ingested]:
        deliveries = await journal.claim_deliveries(connection, self._batch)
        return len(deliveries), await self._ingest_these(connection, deliveries)

    async def _ingest_these(self, connection: Connection, deliveries: Sequence[Delivery]) -> Ingested:
        if not deliveries:
            return Ingested()
        told, parked, held = [], [], set[int]()
        for delivery in deliveries:
            try:
                told.append(self._understand(delivery))
            except PayloadError as error:
                if error.is_routing and self._directory.as_of_us <= delivery.received_us <= now_us() + _SKEW_US:
                    held.add(delivery.id)  # its integration may have been added just before it came: looked at once more
                    continue
                parked.append((delivery.id, error.outcome, error.message))
        self._is_directory_old = bool(held)
        batches = await self._apply(connection, [t for t in told if t.change.typing is None])
        typing = await self._find_typing(connection, [t for t in told if t.change.typing is not None])
        now = now_us()
        for integration_id in {t.source.integration_id for t in told}:
            own = [t.delivery_id for t in told if t.source.integration_id == integration_id and t.delivery_id is not None]
            await journal.mark_done(connection, own, integration_id, now)
        if parked:
            await journal.mark_parked(connection, parked, now)
        metrics.deliveries_ingested.labels("done").inc(len(told))
        for delivery in deliveries:
            if not delivery.is_verified and delivery.id not in held:  # kept whole until its signature could be judged
                stripped = strip_credentials(delivery.body.encode()).decode()
                await journal.replace_body(connection, delivery.id, stripped)
        for _, state, _reason in parked:
            metrics.deliveries_ingested.labels(state).inc()
        return Ingested(batches, typing, told)

    async def _find_typing(self, connection: Connection, told: Sequence[Told]) -> Typing:
        """Where customers type: in conversations that agents have, the last of a batch. What is told too late is shown to nobody."""
        found: dict[int, dict[int, bool]] = defaultdict(dict)
        for one in told:
            conversation_id = await store.find_conversation(connection, one.source.integration_id, one.change.conversation.display_id)
            if conversation_id is not None and now_us() - one.received_us < _TYPING_US:
                found[one.source.company_id][conversation_id] = bool(one.change.typing)
        return found

    async def _apply(self, connection: Connection, told: Sequence[Told]) -> list[EventBatch]:
        if not told:
            return []
        with metrics.ingest_seconds.time():
            changes = [(t.source, within_present(t.change, t.received_us)) for t in told]
            streams, board = await store.load_board(connection, changes, store.new_epoch())
            board.heal(now_us())
            for one in told:
                one.conversation, one.message = board.apply(one.change, one.source, one.received_us)
            return await store.save_board(connection, board, streams, now_us())

    def _understand(self, delivery: Delivery) -> Told:
        """Parse and route one delivery. Raises PayloadError with its outcome."""
        change = parse_delivery(delivery.body, delivery.received_us)
        verified_id = delivery.integration_id
        if not delivery.is_verified:  # kept while the directory was not there: judged now, by the time it came
            try:
                verified_id = self._directory.verify(
                    change.account_id, change.inbox_id, delivery.headers, delivery.body.encode(), delivery.received_us
                )
            except BadSignature as error:
                raise PayloadError(error.message, is_routing=True) from None
        is_signed = SIGNATURE_HEADER in delivery.headers
        integration = self._directory.find(change.account_id, change.inbox_id, verified_id, is_signed=is_signed)
        self.seen[integration.id] = max(delivery.received_us, self.seen.get(integration.id, 0))
        traceparent = delivery.headers.get(CARRIED)
        return Told(Source(integration.id, integration.company_id), change, delivery.received_us, delivery.id, traceparent)

    async def _take_each(self) -> int:
        """A batch failed as a whole: find the one that is to blame, and let the others pass."""
        try:
            deliveries = await self._database.read(lambda c: journal.peek_deliveries(c, self._batch))
            for delivery in deliveries:
                await self._take_one(delivery.id, delivery.attempts)
        except DatabaseUnavailable:
            return 0
        return len(deliveries)

    async def _retry_one(self) -> bool:
        try:
            due = await self._database.read(lambda c: journal.peek_retry(c, now_us()))
            if due is None:
                return False
            await self._take_one(due.id, due.attempts)
        except DatabaseUnavailable:
            return False
        return True

    async def _take_one(self, delivery_id: int, attempts: int) -> None:
        began = time.time()
        try:
            self._announce(await self._database.transaction(lambda c: self._ingest_one(c, delivery_id)), began)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            _logger.exception("delivery failed", delivery_id=delivery_id)
            await self._put_off(delivery_id, attempts, f"{type(error).__name__}: {error}")

    async def _ingest_one(self, connection: Connection, delivery_id: int) -> Ingested:
        delivery = await journal.claim_delivery(connection, delivery_id)
        return await self._ingest_these(connection, [delivery] if delivery else [])

    async def _put_off(self, delivery_id: int, attempts: int, reason: str) -> None:
        if attempts + 1 >= self._attempts:
            metrics.deliveries_ingested.labels("dead").inc()
            await self._database.transaction(lambda c: journal.mark_parked(c, [(delivery_id, "dead", reason)], now_us()))
            return
        delay = min(_RETRY_MOST_SECONDS, _RETRY_FIRST_SECONDS * 2**attempts) * (0.5 + random.random())  # noqa: S311 - jitter
        await self._database.transaction(lambda c: journal.mark_for_retry(c, [delivery_id], reason, now_us() + int(delay * SECOND)))

    def _announce(self, ingested: Ingested, began: float) -> None:
        now = now_us()
        is_told = self._traces is not None or is_debug()
        for company_id, typing in ingested.typing.items():
            self._on_typing(company_id, typing)
        for batch in ingested.batches:
            metrics.webhook_to_publish_seconds.observe((now - batch.received_us) / SECOND)
            if is_told:
                told = [one for one in ingested.told if one.source.company_id == batch.company_id]
                self._publish_told(batch, told, int(began * SECOND), now)
            else:
                self._publish(batch)

    def _publish_told(self, batch: EventBatch, told: Sequence[Told], began_us: int, committed_us: int) -> None:
        """With a line in the log and spans in a trace, for whoever follows single messages."""
        about = {"company_id": batch.company_id, "first_seq": batch.first_seq, "last_seq": batch.last_seq}
        belongs_to = [one.traceparent for one in told]
        if self._traces is not None:
            ingest = self._traces.note("ingest", began_us, committed_us, belongs_to, deliveries=len(told), **about)
            batch = replace(batch, traceparent=ingest)
        self._publish(batch)
        published_us = now_us()
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
