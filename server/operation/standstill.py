"""Measures whether ingest of the journal is stuck: how long the oldest delivery has waited to be
taken in.

A delivery's own time of arrival is another process's clock. So ages are measured here: whichever
delivery was the newest at a moment, an older one that still waits is at least as old as that
moment.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from server import log, metrics
from server.db.engine.database import Database
from server.db.journal import journal_reads
from server.errors import DatabaseUnavailable

_logger = log.get(__name__)
_EVERY_SECONDS = 1.0
_REMEMBERED = 3_600  # moments: an hour; who has waited longer is said to have waited so long
STANDSTILL_SECONDS = 5.0


class Standstill:
    """Measures once a second, by two look-ups in an index."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._newest: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._oldest: int | None = None
        self._is_said = False

    async def run(self) -> None:
        """Measure for as long as the process lives. While the database is away, what waits goes on
        waiting.
        """
        while True:
            try:
                oldest, newest = await self._database.read(journal_reads.read_edges)
            except DatabaseUnavailable:
                pass
            else:
                self.observe(oldest, newest)
            self._say()
            await asyncio.sleep(_EVERY_SECONDS)

    def observe(self, oldest: int | None, newest: int) -> None:
        """Records the oldest delivery that is due, if any, and the newest there is, as of now."""
        self._oldest = oldest
        self._newest.append((self._monotonic(), newest))

    @property
    def seconds(self) -> float:
        """How long the oldest due delivery has waited at least; 0 when none waits."""
        if self._oldest is None:
            return 0.0
        there_since = next((at for at, newest in self._newest if newest >= self._oldest), None)
        return 0.0 if there_since is None else self._monotonic() - there_since

    def _say(self) -> None:
        seconds = self.seconds
        metrics.oldest_delivery_seconds.set(seconds)
        if seconds >= STANDSTILL_SECONDS and not self._is_said:
            _logger.error("deliveries are not taken in", oldest_seconds=round(seconds, 1))
        elif self._is_said and seconds < STANDSTILL_SECONDS:
            _logger.info("deliveries are taken in again")
        self._is_said = seconds >= STANDSTILL_SECONDS
