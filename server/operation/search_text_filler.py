"""What another program writes into the CRM's tables is made ready for search, some seconds after it
was written.

Our own rows carry their form from the transaction that writes them; those older than it were filled
by the upgrade.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

from server import log
from server.core.bounded_dict import BoundedDict
from server.db.engine.database import Database
from server.db.state import search_texts
from server.db.state.search_texts import Unfilled
from server.errors import DatabaseUnavailable

_EVERY_SECONDS = 2.0
# rows below the newest that are looked through at the start: what is older the upgrade has seen
_BEHIND = 10_000
_UNCOMMITTED = 1_000  # ids below the newest one that a transaction may still bring
_MAX_REFUSED = 10_000
_TABLES = ("social_conversations", "social_messages")
_logger = log.get(__name__)


class SearchTexts:
    """Fills the search form of the newest rows that lack it."""

    def __init__(self, database: Database, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._database = database
        self._every_seconds = every_seconds
        self._refused: BoundedDict[tuple[str, int], None] = BoundedDict(_MAX_REFUSED)
        self._after: dict[str, int] = {}  # table -> id from which on rows are looked through

    async def run(self) -> None:
        """Fills both tables every two seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(self._every_seconds)
            with contextlib.suppress(DatabaseUnavailable):
                await self.fill_all()

    async def fill_all(self) -> None:
        """Fills both tables once. Raises DatabaseUnavailable."""
        for table in _TABLES:
            await self._fill(table)

    async def _fill(self, table: str) -> None:
        last = await self._database.read(partial(search_texts.read_last, table=table))
        after = self._after.get(table, last - _BEHIND)
        while rows := await self._database.read(
            partial(search_texts.read_unfilled, table=table, after=after)
        ):
            await self._write(table, rows)
            after = rows[-1][0]
        self._after[table] = max(self._after.get(table, 0), last - _UNCOMMITTED)

    async def _write(self, table: str, rows: Sequence[Unfilled]) -> None:
        """A row that cannot be written (by a rule or a trigger of the CRM's) is left out alone:
        until it can, and the process starts again, it is found as it stands at most.
        """
        if not (rows := [row for row in rows if (table, row[0]) not in self._refused]):
            return
        try:
            await self._database.transaction(partial(search_texts.fill, table=table, rows=rows))
        except DatabaseUnavailable:
            raise
        except Exception:
            if len(rows) > 1:
                for row in rows:
                    await self._write(table, [row])
            else:
                self._refused[table, rows[0][0]] = None
                _logger.exception(
                    "a row cannot be made ready for search", table=table, id=rows[0][0]
                )
