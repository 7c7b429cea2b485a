"""One clock for all processes: the database's. Leases, due times and withdrawals are written and
compared by it.

A machine's wall clock may be wrong, and may be stepped at any moment. So it is asked only for what
nobody else compares. Inside a transaction `read` asks the database itself, and all processes agree
exactly; `now_us` is the same time from memory, by the monotonic clock and the offset seen last, for
comparisons outside of a transaction. An embedded database has one process and that machine's clock;
what a step of it could spoil is bounded by whoever compares (see docs/decisions, "one clock").
"""

import time
from collections.abc import Callable

from server.core.times import SECOND
from server.db.engine.driver_adapters import Dialect
from server.db.engine.sql_connection import Connection

_NOW = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
_READ_INTERVAL_SECONDS = 5.0  # a failover may bring a database whose clock is another one
_QUICK_SECONDS = 0.25  # an answer that took longer says less than the offset we have
_KEPT_SECONDS = 60.0  # but any is better than one as old as this


class DatabaseClock:
    """`Database.clock`. Until the database has answered once, the wall clock stands in for it."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        wall: Callable[[], float] = lambda: time.time(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_ours = dialect == "sqlite"
        self._wall = wall
        self._monotonic = monotonic
        self._offset: float | None = None  # the database's unix seconds less our monotonic ones
        self._offset_at = self._read_at = 0.0

    def now_us(self) -> int:
        """From memory, within a round trip's time of the database's own."""
        if self._offset is None:
            return int(self._wall() * SECOND)
        return int((self._monotonic() + self._offset) * SECOND)

    def now_seconds(self) -> float:
        """`now_us` in unix seconds."""
        return self.now_us() / SECOND

    @property
    def is_read_due(self) -> bool:
        """Whether the database has not been asked for a while."""
        return not self._is_ours and (
            self._offset is None or self._monotonic() - self._read_at > _READ_INTERVAL_SECONDS
        )

    async def read(self, connection: Connection) -> int:
        """The database's time now, in microseconds. Raises what the connection raises."""
        if self._is_ours:
            return int(self._wall() * SECOND)
        asked_at = self._monotonic()
        found = await connection.fetch_value(_NOW)
        now_us = int(self._wall() * SECOND if found is None else found)
        self._record_reading(asked_at, self._monotonic(), now_us / SECOND)
        return now_us

    def _record_reading(self, asked_at: float, answered_at: float, seconds: float) -> None:
        self._read_at = answered_at
        is_quick = answered_at - asked_at <= _QUICK_SECONDS
        if is_quick or self._offset is None or answered_at - self._offset_at > _KEPT_SECONDS:
            self._offset = seconds - (asked_at + answered_at) / 2
            self._offset_at = answered_at
