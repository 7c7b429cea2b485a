"""Deliveries that are `dead` because they could not be stored: said in `/readyz` and on the status
page, and tried again by themselves.

Whatever kept them out (a narrow column, a rule of the CRM, a mistake of ours that an upgrade has
mended) may be gone: every few seconds one of them is tried once more, in turns. Where it goes in,
those that had the same reason follow.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from server import log
from server.db.engine.database import Connection, Database
from server.db.journal import failed_deliveries as rows
from server.db.journal.failed_deliveries import Failed
from server.errors import DatabaseUnavailable
from server.problems import Problem, decode

_logger = log.get(__name__)
_LOOK_SECONDS = 2.0
_TRY_EVERY_LOOKS = 2
_LIKE_AT_ONCE = 100


class FailedDeliveries:
    """`attempts`: after so many a delivery is dead."""

    def __init__(self, database: Database, attempts: int) -> None:
        self._database = database
        self._attempts = attempts
        self._found: Sequence[Failed] = ()
        self._tried: int | None = None  # in the last turn, and how it ended is not known yet
        self._after = 0

    async def run(self) -> None:
        """Reads what failed, and tries one of them again now and then."""
        looks = 0
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                self._found = await self._database.read(rows.read_failed)
                await self._follow_up()
                looks += 1
                if self._found and self._tried is None and looks % _TRY_EVERY_LOOKS == 0:
                    await self._try_next()
            await asyncio.sleep(_LOOK_SECONDS)

    def problems(self) -> list[Problem]:
        """One for each integration."""
        return [_problem_of(one) for one in self._found]

    async def _try_next(self) -> None:
        delivery_id = await self._database.read(lambda c: rows.next_failed(c, self._after))
        if delivery_id is not None:
            self._after = self._tried = delivery_id
            await self._try_again([delivery_id])

    async def _follow_up(self) -> None:
        """It went in: so may the others now."""
        if (tried := self._tried) is None:
            return
        state = await self._database.read(lambda c: rows.read_state(c, tried))
        if state == "received":
            return
        self._tried = None
        if state == "done":
            _logger.info("a dead delivery was stored after all", delivery_id=tried)
            await self._try_again(await self._database.read(self._some_failed))

    async def _some_failed(self, connection: Connection) -> Sequence[int]:
        first = await rows.next_failed(connection, 0)
        return (
            []
            if first is None
            else [first, *await rows.read_like(connection, first, _LIKE_AT_ONCE)]
        )

    async def _try_again(self, delivery_ids: Sequence[int]) -> None:
        if delivery_ids:
            now_us = self._database.clock.now_us()
            await self._database.transaction(
                lambda c: rows.try_again(c, delivery_ids, self._attempts, now_us)
            )


def _problem_of(found: Failed) -> Problem:
    newest, reason = found.newest_id, decode(found.reason) or ""
    if found.count == 1:
        why = Problem.of("dead.one", newest=newest, reason=reason)
    else:
        why = Problem.of("dead.several", count=found.count, newest=newest, reason=reason)
    if found.integration_id is None:
        return Problem.of("dead.of_no_integration", why=why)
    return Problem.of("integration.named_problem", id=found.integration_id, why=why)
