"""Tells the bus which installation this process belongs to."""

import asyncio

from server.db.access.installation import read_installation
from server.db.engine.database import Database
from server.errors import DatabaseUnavailable
from server.live.bus import Bus

_CHECK_INTERVAL_SECONDS, _RETRY_INTERVAL_SECONDS = 30.0, 0.5


class BusIdentity:
    """Reads the installation from the database, again every 30 seconds, as a restored backup may
    belong to another one.
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def run(self) -> None:
        """Keep the bus identified; retries every half second while the database is away."""
        while self._bus.is_shared:
            try:
                self._bus.identify(await read_installation(self._database))
            except DatabaseUnavailable:
                await asyncio.sleep(_RETRY_INTERVAL_SECONDS)
            else:
                await asyncio.sleep(_CHECK_INTERVAL_SECONDS)
        await asyncio.Event().wait()  # a service that ends would be started again
