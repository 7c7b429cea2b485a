"""Keeps when events were written to agents. The hub reports each fan-out to a company's sockets
with one call, whatever their number; once a second those of that second are written together.
What cannot be kept is dropped: it is for people, not for the promises.
"""

import asyncio

from server.core.state.fan_out import FanOut
from server.db.engine.database import Database
from server.db.journal import fanouts
from server.errors import DatabaseUnavailable

_FLUSH_INTERVAL_SECONDS = 1.0
_MAX_WAITING = 2_000  # fan-outs of one second; the hub makes a few hundred at most


class FanoutLog:
    """Writes fan-outs to the database, a second's together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[FanOut] = []

    def record(self, fan_out: FanOut) -> None:
        """Keeps a fan-out for the next write. Called by the hub."""
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(fan_out)

    async def run(self) -> None:
        """Writes what was recorded, once a second."""
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL_SECONDS)
            if not self._waiting:
                continue
            rows, self._waiting = self._waiting, []
            try:
                # awaited at once
                await self._database.transaction(
                    lambda c: fanouts.append_fanouts(c, rows),  # noqa: B023
                    attempts=1,
                )
            except DatabaseUnavailable:
                continue
