"""Keeps when events were written to agents. The hub tells of each walk through a company's sockets
with one call, whatever their number; once a second the walks of that second are written in one
statement. What cannot be kept is dropped: it is for people, not for the promises.
"""

import asyncio

from server.core.state.fan_out import FanOut
from server.db.engine.database import Database
from server.db.journal import fanouts
from server.errors import DatabaseUnavailable

_EVERY_SECONDS = 1.0
_WAITING_MOST = 2_000  # walks of one second; the hub makes a few hundred at most


class ReachKeeper:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[FanOut] = []

    def note(self, fan_out: FanOut) -> None:
        """Called by the hub."""
        if len(self._waiting) < _WAITING_MOST:
            self._waiting.append(fan_out)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            if not self._waiting:
                continue
            rows, self._waiting = self._waiting, []
            try:
                # awaited at once
                await self._database.transaction(
                    lambda c: fanouts.append_reach(c, rows),  # noqa: B023
                    attempts=1,
                )
            except DatabaseUnavailable:
                continue
