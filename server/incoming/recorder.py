"""Deliveries -> journal: made durable before they are answered, many in one commit. Journal and
spool stand in for each other.
"""

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable

from server import log, metrics
from server.core.times import SECOND
from server.db.engine.database import Connection, Database
from server.db.journal import journal
from server.db.journal.journal import Delivery
from server.db.journal.spool import Spool
from server.db.journal.spool_rows import SpoolFull
from server.errors import DatabaseUnavailable, OmniError, Unavailable
from server.message_observer import MessageObserver

_logger = log.get(__name__)
_Waiting = tuple[Delivery, asyncio.Future[None]]
_MAX_APPENDED, _MAX_APPENDED_BYTES = 500, 8_000_000  # in one commit
_ANSWER_SECONDS = 4.5  # for both, of the five that Chatwoot waits for an answer: slow is not gone
# of them, a webhook waits no longer for the journal before it goes to the spool
_JOURNAL_SECONDS = 0.7
_MIN_SPOOL_SECONDS = 0.5
_MAX_WAITING, _MAX_WAITING_BYTES = 10_000, 64_000_000  # deliveries that wait for their commit
_STRANGERS_SHARE = 4  # of these, deliveries that nobody could judge take a fourth at most
_OVERHEAD_BYTES = 1_000  # what a delivery holds besides its body
_DRAIN_SECONDS = 0.5
_MAX_DRAINED = 500
_LEFT_SECONDS = 10.0  # how often the file is looked into for what a process that died has left
_MAX_STUCK_DRAINS = (
    3  # drains that may fail while the database answers, before one delivery is to blame
)
_REFUSED_SECONDS = 10.0


class KeptNowhere(Unavailable):
    """Both were tried."""

    title = "Neither the database nor the spool can keep this right now; try again in a moment"


class _Tried(OmniError):
    """It can be written: rolled back."""


class Recorder:
    """Makes deliveries durable: those of one moment share one statement and one commit. While one
    of journal and spool fails, the other takes them.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        on_recorded: Callable[[], None],
        observer: MessageObserver | None = None,
        may_judge: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_judge`: whether the integrations are known here, so that who was not judged on
        arrival is a stranger.
        """
        self._database = database
        self._spool = spool
        self._on_recorded = on_recorded
        self._observer = observer or MessageObserver()
        self._may_judge = may_judge
        self._waiting: deque[_Waiting] = deque()
        self._bytes = self._strangers_bytes = 0
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
        """Returns when the delivery is on disk. Raises Unavailable when neither journal nor spool
        take it, or too much waits for them.
        """
        size = sys.getsizeof(delivery.body) + _OVERHEAD_BYTES
        strangers = 0 if delivery.is_verified else size
        if (
            len(self._waiting) >= _MAX_WAITING
            or self._bytes + size > _MAX_WAITING_BYTES
            or (strangers and self._strangers_bytes + size > _MAX_WAITING_BYTES // _STRANGERS_SHARE)
        ):
            raise Unavailable
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, future))
        self._bytes += size
        self._strangers_bytes += strangers
        self._wake.set()
        try:
            await future
        finally:  # until it is on disk it is held in memory
            self._bytes -= size
            self._strangers_bytes -= strangers

    async def run(self) -> None:
        """Commits what waits, in batches bounded by number and bytes."""
        while True:
            await self._wake.wait()
            batch, size = [self._waiting.popleft()], 0
            while self._waiting and len(batch) < _MAX_APPENDED:
                size += sys.getsizeof(batch[-1][0].body) + _OVERHEAD_BYTES
                if size + sys.getsizeof(self._waiting[0][0].body) > _MAX_APPENDED_BYTES:
                    break
                batch.append(self._waiting.popleft())
            if not self._waiting:
                self._wake.clear()
            await self._record(batch)

    async def run_drain(self) -> None:
        """Move what was spooled into the journal, in order, whenever the journal is there."""
        looked_at = time.monotonic()
        while True:
            if self._spool.has_damaged:
                await self._spool.read_damaged()
            if not self._spool.waiting or not await self._drain_some():
                await asyncio.sleep(_DRAIN_SECONDS)
                await self._spool.check_disk()
                await self._spool.shrink()
                if time.monotonic() - looked_at > _LEFT_SECONDS:
                    looked_at = time.monotonic()
                    # the spool's own problem is said by the spool
                    with contextlib.suppress(Exception):
                        await self._spool.find_left()

    async def _record(self, batch: list[_Waiting]) -> None:
        began_us = self._database.clock.now_us()
        failed = await self._write([delivery for delivery, _ in batch])
        for delivery, future in batch:
            if future.done():
                continue
            if (error := failed.get(delivery.uid)) is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        is_refusing = any(
            delivery.is_verified or not self._may_judge()
            for delivery, _ in batch
            if delivery.uid in failed
        )
        kept = [delivery for delivery, _ in batch if delivery.uid not in failed]
        if is_refusing:
            self._refused_at = time.monotonic()
        elif kept:
            self._refused_at = float("-inf")
        if kept:
            metrics.record_seconds.observe(
                max(0.0, (self._database.clock.now_us() - kept[0].received_us) / SECOND)
            )
            self._on_recorded()
            if self._observer.is_on:
                self._observer.on_recorded(
                    [delivery.uid for delivery in kept],
                    [delivery.headers for delivery in kept],
                    began_us,
                    self._database.clock.now_us(),
                    self._spool.waiting,
                )

    async def _write(self, deliveries: list[Delivery]) -> dict[str, OmniError]:
        """Into the journal, or behind what waits in the spool, to keep the order; where that one
        fails, into the other: to be kept comes first. Returns what was kept nowhere, by uid, with
        the reason.
        """
        until = time.monotonic() + _ANSWER_SECONDS
        if await self._spool.has_waiting():
            failed = await self._into_spool(deliveries, until - _JOURNAL_SECONDS)
            left = [delivery for delivery in deliveries if delivery.uid in failed]
            if not left or await self._into_journal(left) is None:
                return {}
        else:
            if await self._into_journal(deliveries) is None:
                return {}
            failed = await self._into_spool(deliveries, until)
        if failed:
            reason = next(iter(failed.values())).message
            _logger.error("deliveries could not be kept", count=len(failed), error=reason)
        return failed

    async def _into_journal(self, deliveries: list[Delivery]) -> Exception | None:
        try:
            await self._database.transaction(
                lambda c: journal.append_deliveries(c, deliveries),
                attempts=2,
                wait_seconds=_JOURNAL_SECONDS,
                awaits_commit=False,
            )
        except DatabaseUnavailable as error:
            _logger.warning("journal away, spooling", count=len(deliveries))
            return error
        # a table that is missing, a value it will not take: kept all the same, and said aloud
        except Exception as error:
            _logger.exception("journal refuses, spooling", count=len(deliveries))
            return error
        return None

    async def _into_spool(self, deliveries: list[Delivery], until: float) -> dict[str, OmniError]:
        """Those that were judged first, as the others have a part of the spool only. Waits for its
        disk until that moment (monotonic). Returns what it did not take, by uid.
        """
        failed: dict[str, OmniError] = {}
        for is_verified in (True, False):
            if not (
                these := [
                    delivery for delivery in deliveries if delivery.is_verified is is_verified
                ]
            ):
                continue
            try:
                await self._spool.append(these, max(_MIN_SPOOL_SECONDS, until - time.monotonic()))
            except SpoolFull as error:
                failed |= dict.fromkeys((delivery.uid for delivery in these), error)
            except Exception as error:
                if not isinstance(error, OmniError):
                    _logger.exception("the spool failed", count=len(these))
                failed |= dict.fromkeys((delivery.uid for delivery in these), KeptNowhere())
        return failed

    async def _drain_some(self) -> bool:
        """One step. Returns whether it went on; what stops it for longer than the database is away
        is found one by one.
        """
        try:
            if self._stuck >= _MAX_STUCK_DRAINS:
                return await self._drain_one()
            spooled = await self._spool.read(_MAX_DRAINED)
            if spooled:
                await self._move(spooled)
        except Exception as error:  # whatever the journal says to these
            # said, and not said twice a second for ever
            if not isinstance(error, DatabaseUnavailable) and self._stuck <= _MAX_STUCK_DRAINS:
                _logger.exception("the journal refuses spooled deliveries")
            self._stuck += await self._database_answers()
            return False
        self._stuck = 0
        return bool(spooled)

    async def _drain_one(self) -> bool:
        """Drains one delivery alone: one that the journal will never accept (larger than the
        database's packets, say) must not hold back all behind it. It is to blame, and put aside,
        when the one behind it could be taken: else nothing can be written at all. The one behind is
        only tried, as it must not come first if the trouble has just passed. Raises what the
        journal says.
        """
        spooled = await self._spool.read(2)
        try:
            await self._move(spooled[:1])
        except Exception:
            if len(spooled) < 2:
                raise
            await self._try_only(spooled[1][1])
            await self._try_again(*spooled[0])
            self._stuck = 0
        return bool(spooled)

    async def _try_only(self, delivery: Delivery) -> None:
        """Whether the journal would accept it. Raises what the journal says."""

        async def write(connection: Connection) -> None:
            await journal.append_deliveries(connection, [delivery])
            await connection.flush()
            raise _Tried

        with contextlib.suppress(_Tried):
            await self._database.transaction(write, attempts=1)

    async def _try_again(self, number: int, delivery: Delivery) -> None:
        """Once more, now that another one was taken: it may have been a passing trouble."""
        try:
            await self._move([(number, delivery)])
        except Exception as error:  # noqa: BLE001 - what it was stands with the delivery
            await self._spool.put_aside(number, f"{type(error).__name__}: {error}")

    async def _move(self, spooled: list[tuple[int, Delivery]]) -> None:
        """From the spool into the journal."""
        await self._database.transaction(
            lambda c: journal.append_deliveries(c, [delivery for _, delivery in spooled]),
            attempts=1,
        )
        if spooled:
            await self._spool.remove(spooled[-1][0])
        self._on_recorded()

    async def _database_answers(self) -> bool:
        try:
            await self._database.fetch_one("SELECT 1")
        except DatabaseUnavailable:
            return False
        return True
