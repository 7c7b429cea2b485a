"""Journal -> state and events: the ingester turns deliveries into changes, many in one transaction.

It does not poll; a slow sweep finds what a process that died has left. Which deliveries come next
is `company_turns`, one transaction of them `ingest_transaction`, what is told afterwards
`announcements`, and what happens to those that fail `suspects`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from server import log, metrics
from server.core.chatwoot.agent_names import KnownNames
from server.core.state.tracked import Result
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.journal import journal_reads
from server.db.journal.journal import Delivery
from server.errors import (
    CompanyBusy,
    DatabaseRefuses,
    DatabaseRetryable,
    DatabaseUnavailable,
    LostUnderWay,
    Unavailable,
)
from server.incoming.agent_renames import AgentRenames
from server.incoming.announcements import Announcements, OnTyping, Publish
from server.incoming.company_turns import CompanyTurns, Selection
from server.incoming.delivery_reader import DeliveryReader
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest_transaction import IngestResult, IngestTransaction
from server.incoming.suspects import Suspects, traceback_of
from server.incoming.unstored import Unstored
from server.integrations.arrivals import Arrivals
from server.integrations.directory import Directory
from server.message_observer import MessageObserver

_logger = log.get(__name__)
_SWEEP_SECONDS = 1.0
# a batch of this many means hundreds a second: the next one waits a moment, so that it is larger
# and each delivery cheaper
_BURST = 20
_GATHER_SECONDS = 0.02
_RENEW_SECONDS = 0.1  # strangers' deliveries make us read the directory at most ten times a second
_MAX_CRASHES = 2


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
        on_typing: OnTyping = lambda company_id, typing: None,
        observer: MessageObserver | None = None,
        arrivals: Arrivals | None = None,
        on_changed: Callable[[Sequence[Integration]], None] = lambda integrations: None,
        renames: AgentRenames | None = None,
    ) -> None:
        """`on_changed`: a delivery names an inbox otherwise than its integration. `renames`: told
        of agents and teams that are called otherwise than before.
        """
        self._database = database
        self._directory = directory
        self._publish = publish
        self._arrivals = arrivals or Arrivals()
        self._announcements = Announcements(
            database.clock, publish, on_typing, observer or MessageObserver()
        )
        self._reader = DeliveryReader(directory, database.clock, on_changed)
        self._transaction = IngestTransaction(
            database.clock,
            self._reader,
            renames.known if renames is not None else KnownNames(),
            renames.on_renamed if renames is not None else lambda found: None,
        )
        self._turns = CompanyTurns(batch)
        self._suspects = Suspects(
            database,
            self._ingest_suspects,
            batch=batch,
            attempts=attempts,
            integration_of=self._reader.integration_of.get,
        )
        self._wake = asyncio.Event()
        self._is_directory_old = False
        # what the transaction under way has read: asked for when it fails
        self._read: list[Delivery] = []
        self._crashes = 0  # transactions in a row under which the database went away
        self.unstored = Unstored()
        self.seen: dict[int, int] = {}  # integration -> last webhook, microseconds

    def wake(self) -> None:
        """Say that there are new deliveries."""
        self._wake.set()

    async def run(self) -> None:
        """Ingest what is there, in turns by company; beside it, what failed is examined and tried
        again.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_turns())
            group.create_task(self._suspects.run())

    async def apply(self, incoming: Sequence[IncomingChange]) -> None:
        """Store changes that no delivery carries (sync, reconcile). Sets what became of each; one
        that cannot be stored has its `problem`, and ends nothing for the others. Raises
        DatabaseUnavailable.
        """
        failed = await self.unstored.store_each(incoming, lambda one: one.place, self._store)
        for one, reason in failed:
            one.conversation = one.message = Result.SAME
            one.problem = reason

    async def _store(self, incoming: Sequence[IncomingChange]) -> None:
        batches = await self._database.transaction(lambda c: self._transaction.store(c, incoming))
        for batch in batches:
            self._publish(batch)

    async def _run_turns(self) -> None:
        """Ingest batches as long as there are more, then wait for the next delivery, the next
        sweep, or a company that was busy.
        """
        while True:
            self._wake.clear()
            if self._directory.is_loaded:
                await self._ingest_all()
            now = time.monotonic()
            due = self._turns.next_due(now)
            seconds = _SWEEP_SECONDS if due is None else min(_SWEEP_SECONDS, due - now)
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _ingest_all(self) -> None:
        """Everything that is there now, but for companies that are locked elsewhere."""
        while True:
            if self._is_directory_old and not await self._renew_directory():
                return
            result = await self._ingest_batch()
            if result is None or not (self._is_directory_old or (result.is_full and result.ended)):
                break
        if result is not None and result.ended >= _BURST:
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

    async def _ingest_batch(self) -> IngestResult | None:
        """One transaction. None when it failed: then its companies are examined one by one, unless
        the database is away.
        """

        async def ingest(connection: Connection) -> tuple[Selection, IngestResult]:
            selection = await self._turns.select(connection, self._suspects.companies)
            self._read = list(selection.waiting.deliveries)
            return selection, await self._transaction.ingest(connection, selection.waiting)

        began_us = self._database.clock.now_us()
        self._read = []
        try:
            selection, result = await self._database.transaction(ingest, attempts=2)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others
            await self._suspect(error)
            return None
        self._crashes = 0
        self._turns.advance(selection)
        await self._conclude(result, began_us)
        return result

    async def _ingest_suspects(self, ids: Sequence[int]) -> None:
        """Deliveries by their ids, alone in their transaction. Raises what makes it fail,
        CompanyBusy when their company is locked elsewhere.
        """
        began_us, has_begun = self._database.clock.now_us(), False

        async def ingest(connection: Connection) -> IngestResult:
            nonlocal has_begun
            waiting = await journal_reads.read_by_ids(connection, ids)
            has_begun = True
            return await self._transaction.ingest(connection, waiting)

        try:
            result = await self._database.transaction(ingest, attempts=2)
        except (DatabaseRetryable, DatabaseRefuses):
            raise
        except DatabaseUnavailable as error:
            raise (LostUnderWay(error.message) if has_begun else error) from None
        await self._conclude(result, began_us)
        if result.busy:
            raise CompanyBusy(result.busy)

    async def _conclude(self, result: IngestResult, began_us: int) -> None:
        """Announce and count what was committed."""
        self._announcements.announce(result.batches, result.typing, result.incoming, began_us)
        for integration_id, seen_us in result.seen.items():
            self.seen[integration_id] = max(seen_us, self.seen.get(integration_id, 0))
        self.unstored.forget(one.place for one in result.incoming)
        self._arrivals.record_all(
            (
                "socket" if one.is_from_socket else "webhook",
                one.source.integration_id,
                one.change,
                one.received_us,
            )
            for one in result.incoming
        )
        self._is_directory_old |= result.is_directory_old
        for state, count in result.counts.items():
            metrics.deliveries_ingested.labels(state).inc(count)
        self._turns.record_locks(result.busy, result.served)
        self._database.busy.record(result.busy)
        self._database.busy.clear(result.served)
        for delivery_id, error in result.failed:
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
        if took_writes or self._crashes >= _MAX_CRASHES:
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
