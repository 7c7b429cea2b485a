"""Deliveries -> journal: made durable before they are answered, many in one commit; into the spool while the journal is away."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from server import log, metrics
from server.core.times import SECOND
from server.db import journal
from server.db.database import Database
from server.db.journal import Delivery
from server.db.spool import Spool
from server.errors import DatabaseUnavailable, OmniError, Unavailable
from server.log import is_debug
from server.traces import CARRIED, Traces

_logger = log.get(__name__)
_APPEND_MOST = 500
_JOURNAL_SECONDS = 0.7  # a webhook waits no longer for the journal before it goes to the spool
_WAITING_MOST = 10_000
_DRAIN_SECONDS = 0.5
_DRAIN_MOST = 500
_LEFT_SECONDS = 10.0  # how often the file is looked into for what a process that died has left
_STUCK_MOST = 3  # drains that may fail while the database answers, before one delivery is to blame
_REFUSED_SECONDS = 10.0


class Recorder:
    """Makes deliveries durable: those of one moment share one statement and one commit. Into the spool while the journal is away."""

    def __init__(self, database: Database, spool: Spool, on_recorded: Callable[[], None], traces: Traces | None = None) -> None:
        self._database, self._spool, self._on_recorded, self._traces = database, spool, on_recorded, traces
        self._waiting: list[tuple[Delivery, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._refused_at = float("-inf")
        self._stuck = 0

    @property
    def is_refusing(self) -> bool:
        """Whether deliveries were lately answered 503, as neither journal nor spool took them."""
        return time.monotonic() - self._refused_at < _REFUSED_SECONDS

    @property
    def waiting(self) -> int:
        """Deliveries that wait for their commit."""
        return len(self._waiting)

    async def append(self, delivery: Delivery) -> None:
        """Returns when the delivery is on disk. Raises Unavailable when neither journal nor spool take it."""
        if len(self._waiting) >= _WAITING_MOST:
            raise Unavailable
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, future))
        self._wake.set()
        await future

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            batch, self._waiting = self._waiting[:_APPEND_MOST], self._waiting[_APPEND_MOST:]
            if not self._waiting:
                self._wake.clear()
            await self._record(batch)

    async def run_drain(self) -> None:
        """Move what was spooled into the journal, in order, whenever the journal is there."""
        looked_at = time.monotonic()
        while True:
            if not self._spool.waiting or not await self._drain_some():
                await asyncio.sleep(_DRAIN_SECONDS)
                await self._spool.look_again()
                await self._spool.shrink()
                if time.monotonic() - looked_at > _LEFT_SECONDS:
                    looked_at = time.monotonic()
                    with contextlib.suppress(DatabaseUnavailable):
                        await self._spool.find_left()

    async def _record(self, batch: list[tuple[Delivery, asyncio.Future[None]]]) -> None:
        error: OmniError | None = None
        began = time.time()
        try:
            await self._write([delivery for delivery, _ in batch])
        except OmniError as failure:
            error = failure
            _logger.error("deliveries could not be kept", count=len(batch), error=failure.message)  # noqa: TRY400 - its sentence says it all
        except Exception:
            _logger.exception("deliveries could not be kept", count=len(batch))
            error = Unavailable()
        for _, future in batch:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        self._refused_at = float("-inf") if error is None else time.monotonic()
        if error is None:
            metrics.record_seconds.observe(max(0.0, time.time() - batch[0][0].received_us / SECOND))
            self._on_recorded()
            if self._traces is not None or is_debug():
                self._tell(began, [delivery for delivery, _ in batch])

    def _tell(self, began: float, deliveries: list[Delivery]) -> None:
        """For whoever follows single messages: which deliveries went to the disk together, and how long that took."""
        ended = time.time()
        if self._traces is not None:
            carried = [delivery.headers.get(CARRIED) for delivery in deliveries]
            self._traces.note("journal append", int(began * SECOND), int(ended * SECOND), carried, deliveries=len(deliveries))
        uids = [delivery.uid for delivery in deliveries]
        _logger.debug("deliveries kept", uids=uids, ms=round((ended - began) * 1e3, 2), spooled=self._spool.waiting)

    async def _write(self, deliveries: list[Delivery]) -> None:
        if not self._spool.waiting:  # else behind what waits there already, to keep the order
            try:
                await self._database.transaction(
                    lambda c: journal.append_deliveries(c, deliveries), attempts=2, wait_seconds=_JOURNAL_SECONDS, awaits_commit=False
                )
            except DatabaseUnavailable:
                _logger.warning("journal away, spooling", count=len(deliveries))
            except Exception:  # a table that is missing, a value it will not take: kept all the same, and said aloud
                _logger.exception("journal refuses, spooling", count=len(deliveries))
            else:
                return
        await self._spool.append(deliveries)

    async def _drain_some(self) -> bool:
        """One step. Returns whether it went on; what stops it for longer than the database is away is found one by one."""
        try:
            if self._stuck >= _STUCK_MOST:
                return await self._drain_one()
            spooled = await self._spool.read(_DRAIN_MOST)
            if spooled:
                await self._move(spooled)
        except Exception as error:  # whatever the journal says to these
            if not isinstance(error, DatabaseUnavailable) and self._stuck <= _STUCK_MOST:  # said, and not said twice a second for ever
                _logger.exception("the journal refuses spooled deliveries")
            self._stuck += await self._database_answers()
            return False
        self._stuck = 0
        return bool(spooled)

    async def _drain_one(self) -> bool:
        """A delivery that the journal will never take (larger than the database's packets, say) must not hold back all behind it. It is
        to blame, and put aside, when the one behind it is taken: else nothing can be written at all. Raises what the journal says."""
        spooled = await self._spool.read(2)
        try:
            await self._move(spooled[:1])
        except Exception:
            if len(spooled) < 2:
                raise
            await self._move(spooled[1:], up_to=0)
            await self._try_again(*spooled[0])
            await self._spool.remove(spooled[1][0])
            self._stuck = 0
        return bool(spooled)

    async def _try_again(self, number: int, delivery: Delivery) -> None:
        """Once more, now that another one was taken: it may have been a passing trouble."""
        try:
            await self._move([(number, delivery)])
        except Exception as error:  # noqa: BLE001 - what it was stands with the delivery
            await self._spool.put_aside(number, f"{type(error).__name__}: {error}")

    async def _move(self, spooled: list[tuple[int, Delivery]], up_to: int | None = None) -> None:
        """From the spool into the journal."""
        await self._database.transaction(lambda c: journal.append_deliveries(c, [delivery for _, delivery in spooled]), attempts=1)
        if spooled:
            await self._spool.remove(spooled[-1][0] if up_to is None else up_to)
        self._on_recorded()

    async def _database_answers(self) -> bool:
        try:
            await self._database.fetch_one("SELECT 1")
        except DatabaseUnavailable:
            return False
        return True
