"""Companies whose deliveries were in a batch that failed: examined beside the others, halved until
the one to blame is alone.

What failed may be the database's fault, or a lock's; nobody is blamed for that. A delivery is
blamed only when it failed alone and the database takes the very statement that counts it. Then it
is tried again a few times, and parked as `dead` with its reason.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

from server import log
from server.core.backoff import doubled, jittered
from server.core.times import SECOND
from server.db.engine.database import Database
from server.db.journal import journal, journal_reads
from server.errors import (
    DatabaseRefuses,
    DatabaseRetryable,
    DatabaseUnavailable,
    LostUnderWay,
    OmniError,
    RowRefused,
)

_logger = log.get(__name__)
_POLL_SECONDS = 0.25
_RETRIES_AT_ONCE = 20
# between two tries of a company that is held up by something else
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.5, 10.0
_INITIAL_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 60.0

Ingest = Callable[[Sequence[int]], Awaitable[None]]
IntegrationOf = Callable[[int], int | None]


class _Suspect:
    __slots__ = ("due", "failures", "most")

    def __init__(self, most: int) -> None:
        # so many deliveries at once: halved each time the database went away under them
        self.most = most
        self.failures = 0
        self.due = 0.0

    def put_off(self) -> None:
        """Sets when the company is examined again: later with each failure."""
        self.failures += 1
        self.due = time.monotonic() + doubled(
            _INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS, self.failures
        )


class Suspects:
    """Examines companies one delivery after the other. `ingest` takes in deliveries by their ids,
    in one transaction; it raises CompanyBusy when their company is held.
    """

    def __init__(
        self,
        database: Database,
        ingest: Ingest,
        *,
        batch: int,
        attempts: int,
        integration_of: IntegrationOf = lambda delivery_id: None,
    ) -> None:
        """`integration_of`: whose a delivery turned out to be before it failed."""
        self._integration_of = integration_of
        self._database = database
        self._ingest = ingest
        self._batch = batch
        self._attempts = attempts
        self._suspects: dict[int, _Suspect] = {}
        # deliveries that were alone when the database went away, with the reason
        self._lost_under: dict[int, str] = {}
        self._wake = asyncio.Event()

    @property
    def companies(self) -> Collection[int]:
        """Companies whose deliveries are examined here alone."""
        return self._suspects.keys()

    def add(self, company_ids: Collection[int]) -> None:
        """Has these companies examined, soon."""
        for company_id in company_ids:
            self._suspects.setdefault(company_id, _Suspect(self._batch))
        self._wake.set()

    async def run(self) -> None:
        """Examines suspects and retries what is due, until it is cancelled."""
        while True:
            self._wake.clear()
            await self._examine_all()
            try:
                async with asyncio.timeout(_POLL_SECONDS if self._suspects else 4 * _POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _examine_all(self) -> None:
        try:
            # the database is back, and takes the statement that counts it
            for delivery_id in list(self._lost_under):
                await self.put_off(delivery_id, self._lost_under[delivery_id])
                del self._lost_under[delivery_id]
            await self._retry_due()
            # those that have failed least first: most of them are innocent
            for company_id, suspect in sorted(
                self._suspects.items(), key=lambda item: item[1].failures
            ):
                if suspect.due <= time.monotonic():
                    await self._examine(company_id, suspect)
        except DatabaseUnavailable:
            return  # nobody's fault; all of it is looked at again

    async def _retry_due(self) -> None:
        now_us = self._database.clock.now_us()
        due = await self._database.read(
            lambda c: journal_reads.read_due_retries(c, now_us, _RETRIES_AT_ONCE)
        )
        for delivery_id in due:
            try:
                await self._ingest([delivery_id])
            except DatabaseRetryable:
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it stands with the delivery
                await self.blame(delivery_id, error)

    async def _examine(self, company_id: int, suspect: _Suspect) -> None:
        ids = await self._database.read(
            lambda c: journal_reads.read_ids(c, company_id, suspect.most)
        )
        try:
            await self._halve(ids, suspect)
        except DatabaseRetryable:
            suspect.put_off()
        except DatabaseUnavailable:
            suspect.put_off()
            suspect.most = max(1, len(ids) // 2)
            raise
        else:
            del self._suspects[company_id]

    async def _halve(self, ids: Sequence[int], suspect: _Suspect) -> None:
        """Raises DatabaseRetryable when a lock holds them up, DatabaseUnavailable when the database
        is away.
        """
        if not ids:
            return
        try:
            await self._ingest(ids)
        except (DatabaseRetryable, DatabaseRefuses):
            raise
        except Exception as error:
            if len(ids) == 1:
                await self.blame(ids[0], error)
                return
            if not await self.takes_writes():
                raise DatabaseUnavailable from error
            middle = len(ids) // 2
            await self._halve(ids[:middle], suspect)
            await self._halve(ids[middle:], suspect)

    async def takes_writes(self) -> bool:
        """Whether the database is there, and accepts what we write: a SELECT alone says nothing of
        a read-only server.
        """
        try:
            await self._database.transaction(journal.probe)
        except DatabaseUnavailable:
            return False
        return True

    async def blame(self, delivery_id: int, error: Exception) -> None:
        """It failed alone. Raises DatabaseUnavailable when that was the database's doing."""
        if isinstance(error, DatabaseRefuses):  # in words that accuse no row
            raise error
        if isinstance(error, DatabaseUnavailable) and not await self.takes_writes():
            if isinstance(error, LostUnderWay):
                self._lost_under[delivery_id] = _sentence(error)
            raise error
        _logger.error(
            "delivery failed",
            delivery_id=delivery_id,
            error=_sentence(error),
            exc_info=traceback_of(error),
        )
        await self.put_off(delivery_id, _sentence(error))

    async def put_off(self, delivery_id: int, reason: str) -> None:
        """Try it again later, or park it. Counting is a write, so that a database that takes none
        blames nobody.
        """
        now_us, integration_id = self._database.clock.now_us(), self._integration_of(delivery_id)

        def later(attempts: int) -> int:
            seconds = doubled(_INITIAL_RETRY_SECONDS, _MAX_RETRY_SECONDS, attempts + 1)
            return now_us + int(jittered(seconds) * SECOND)

        await self._database.transaction(
            lambda c: journal.count_failure(
                c, delivery_id, reason, self._attempts, later, integration_id
            )
        )


def traceback_of(error: Exception) -> Exception | None:
    """For the log: only of what nobody thought of. One of ours is told whole by its sentence."""
    return None if isinstance(error, OmniError) else error


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, RowRefused) else f"{type(error).__name__}: {error}"
