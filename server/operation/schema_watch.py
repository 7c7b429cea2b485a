"""Whether the tables are as the program needs them: looked at when it starts, rarely while all is
well, and at once when a statement meets a table or column that is not there.
"""

import asyncio
import time
from typing import Protocol

from server import log
from server.db.engine.database import Database
from server.db.migrations import schema_problem
from server.errors import ConfigurationError, DatabaseUnavailable
from server.problems import Text, english

_logger = log.get(__name__)
_EVERY_SECONDS, _AGAIN_SECONDS, _POLL_SECONDS = 600.0, 5.0, 0.5


class Told(Protocol):
    """Keeps what is wrong with the schema."""

    schema_problem: Text | None


class SchemaWatch:
    """Writes what it finds into `health.schema_problem`."""

    def __init__(self, database: Database, database_url: str, health: Told) -> None:
        self._database = database
        self._database_url = database_url
        self._health = health

    async def run(self) -> None:
        """Examines the schema until it is cancelled; logs a problem once."""
        while True:
            met = self._database.refusals.schema_count
            problem = await self._look()
            if problem and problem != self._health.schema_problem:
                _logger.error("schema", problem=english(problem))
            self._health.schema_problem = problem
            await self._wait(met)

    async def _look(self) -> Text | None:
        try:
            return await asyncio.to_thread(schema_problem, self._database_url)
        except DatabaseUnavailable:
            return None  # the database's own problem is reported as such
        except ConfigurationError as error:
            return None if self._database.refusals.has_any else error.problem

    async def _wait(self, met: int) -> None:
        """Until it is to be looked at again; `met`: how often the tables were met wrong before the
        last look.
        """
        is_well = self._health.schema_problem is None and self._database.is_reachable
        until = time.monotonic() + (_EVERY_SECONDS if is_well else _AGAIN_SECONDS)
        while time.monotonic() < until:
            await asyncio.sleep(_POLL_SECONDS)
            if is_well and self._database.refusals.schema_count != met:
                return
