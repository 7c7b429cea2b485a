"""Whether what the process runs on is fit for what we promise, looked at once after the start, as
`omni-inbox doctor` would say.
"""

import asyncio

from server import log
from server.db.engine.database import Database
from server.operation import doctor
from server.settings import Settings

_logger = log.get(__name__)


class StartCheck:
    """Logs what is not fit."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    async def run(self) -> None:
        """Examines once, then waits for its end."""
        for finding in await doctor.examine(self._settings, self._database, processes=1):
            if finding.state != "ok":
                _logger.warning(
                    "not fit", what=finding.name, problem=finding.text, remedy=finding.remedy
                )
        await asyncio.Event().wait()  # a service that ends would be started again
