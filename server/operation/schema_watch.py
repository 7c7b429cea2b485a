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


class SchemaStatus(Protocol):
    """Keeps what is wrong with the schema."""

    schema_problem: Text | None


class SchemaWatch:
    """Writes what it finds into `health.schema_problem`."""

    def __init__(self, database: Database, database_url: str, health: SchemaStatus) -> None:
        self._database = database
        self._database_url = database_url
        self._health = health

    async def run(self) -> None:
        """Examines the schema until it is cancelled; logs a problem once."""
        while True:
            count_before = self._database.refusals.schema_count
            problem = await self._examine()
            if problem and problem != self._health.schema_problem:
                _logger.error("schema", problem=english(problem))
            self._health.schema_problem = problem
            await self._wait(count_before)

    async def _examine(self) -> Text | None:
        try:
            return await asyncio.to_thread(schema_problem, self._database_url)
        except DatabaseUnavailable:
            return None  # the database's own problem is reported as such
        except ConfigurationError as error:
            return None if self._database.refusals.has_any else error.problem

    async def _wait(self, count_before: int) -> None:
        """Waits for the next examination; `count_before`: how many statements had met a wrong table
        before the last one.
        """
        is_well = self._health.schema_problem is None and self._database.is_reachable
        until = time.monotonic() + (_EVERY_SECONDS if is_well else _AGAIN_SECONDS)
        while time.monotonic() < until:
            await asyncio.sleep(_POLL_SECONDS)
            if is_well and self._database.refusals.schema_count != count_before:
                return
