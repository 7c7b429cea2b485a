"""Probes the database with a write that changes nothing: also in a process that has nothing to
write, and again and again while the database refuses something, so that `/readyz` says what is and
not what was.
"""

import asyncio
import contextlib

from server import log
from server.db.engine.database import Database
from server.db.journal import journal
from server.errors import OmniError

_logger = log.get(__name__)
_PROBE_INTERVAL_SECONDS, _REFUSED_INTERVAL_SECONDS = 5.0, 1.0


class WriteProbe:
    """Tries every few seconds whether the database can be written, and logs when that changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._said: str | None = None

    async def run(self) -> None:
        """Run until cancelled: every 5 s, each second while something is refused."""
        while True:
            with contextlib.suppress(OmniError):  # noted by the database itself
                await self._database.transaction(journal.probe, attempts=1)
                self._database.refusals.record_write()
            self._say(self._database.refusals.problem())
            await asyncio.sleep(
                _REFUSED_INTERVAL_SECONDS if self._said else _PROBE_INTERVAL_SECONDS
            )

    def _say(self, problem: str | None) -> None:
        """Once, and not with each call that is refused."""
        if problem is not None and problem != self._said:
            _logger.error("the database refuses", problem=problem)
        elif problem is None and self._said is not None:
            _logger.info("the database refuses nothing any more")
        self._said = problem
