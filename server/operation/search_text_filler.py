"""What another program writes into the CRM's tables is made ready for search, some seconds after it
was written.

Our own rows carry their form from the transaction that writes them; those older than it were filled
by the upgrade.
"""

import asyncio
from functools import partial

from server.db.engine.database import Database
from server.db.state import search_texts
from server.errors import DatabaseUnavailable

_EVERY_SECONDS = 2.0
# rows below the newest that are looked through at the start: what is older the upgrade has seen
_BEHIND = 10_000
_UNCOMMITTED = 1_000  # ids below the newest one that a transaction may still bring
_TABLES = ("social_conversations", "social_messages")


class SearchTexts:
    """Looks through the newest rows for such without the form that is searched."""

    def __init__(self, database: Database, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._database = database
        self._every_seconds = every_seconds
        self._after: dict[str, int] = {}  # table -> id from which on rows are looked through

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                for table in _TABLES:
                    await self._fill(table)
            except DatabaseUnavailable:
                continue

    async def _fill(self, table: str) -> None:
        last = await self._database.read(partial(search_texts.read_last, table=table))
        after = self._after.get(table, last - _BEHIND)
        while rows := await self._database.read(
            partial(search_texts.read_unfilled, table=table, after=after)
        ):
            await self._database.transaction(partial(search_texts.fill, table=table, rows=rows))
            after = rows[-1][0]
        self._after[table] = max(self._after.get(table, 0), last - _UNCOMMITTED)
