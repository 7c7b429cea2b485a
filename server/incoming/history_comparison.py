"""The slow comparison of all history with Chatwoot, for ever: what was missed years ago is found as
well.

It is a sync that takes its time: a budget of requests an hour, one integration at a time in all
processes. Those whose history was never found to be whole come first: after an upgrade that finds
what earlier versions missed.
"""

import asyncio
import contextlib
from collections.abc import Callable

from server import log
from server.chatwoot import ChatwootClient
from server.core.times import SECOND
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state import history
from server.errors import DatabaseUnavailable
from server.incoming.full_sync import FullSync
from server.incoming.sync_outcome import SyncOutcome
from server.integrations.directory import Directory

_logger = log.get(__name__)
_POLL_SECONDS = 5.0
# a process that has just started has more urgent things to ask: it waits as long as so many take
START_REQUESTS = 20
_LEASE_SECONDS = 120.0  # after a process died, its integration is taken by another one
_AGAIN_SECONDS = 24 * 3_600.0  # from the end of one comparison to the beginning of the next
_RETRY_SECONDS = 3_600.0  # after one that left something out


class HistoryComparison:
    """Compares integration by integration. `client_of` gives clients that keep to the budget."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        sync: FullSync,
        client_of: Callable[[Integration], ChatwootClient],
        *,
        is_on: bool = True,
        start_seconds: float,
    ) -> None:
        self._database = database
        self._directory = directory
        self._sync = sync
        self._client_of = client_of
        self._is_on = is_on
        self._start_seconds = start_seconds

    async def run(self) -> None:
        """Compares one integration after the other, where the setting allows it."""
        await asyncio.sleep(self._start_seconds)
        while self._is_on:
            try:
                await self.walk_next()
            except DatabaseUnavailable:
                pass
            # something nobody thought of, in one integration's data: the others have their turn
            except Exception:
                _logger.exception("comparison of history failed")
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.Event().wait()  # a service that ends would be started again

    async def walk_next(self) -> SyncOutcome | None:
        """Compare the integration whose turn it is. None when there is none, or another process is
        at one.
        """
        usable = [
            i.id
            for i in self._directory.integrations.values()
            if i.is_active and not i.problem and i.base_url
        ]
        now_us, lease_us = self._database.clock.now_us(), int(_LEASE_SECONDS * SECOND)
        claim = await self._database.transaction(
            lambda c: history.claim(c, usable, now_us, now_us + lease_us)
        )
        if (
            claim is None
            or (integration := self._directory.integrations.get(claim.integration_id)) is None
        ):
            return None
        # a process that dies here leaves the rest to the next one
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._keep(claim.integration_id))
            outcome = await self._sync.run(
                integration, client=self._client_of(integration), since_us=claim.began_us
            )
            renewing.cancel()
        is_whole = not outcome.errors and not outcome.comparison.is_incomplete
        next_us = self._database.clock.now_us() + int(
            (_AGAIN_SECONDS if is_whole else _RETRY_SECONDS) * SECOND
        )
        await self._database.transaction(
            lambda c: history.release(c, claim.integration_id, next_us)
        )
        if outcome.messages_created or outcome.conversations_created:
            _logger.warning(
                "history was not whole",
                integration_id=integration.id,
                conversations=outcome.conversations_created,
                messages=outcome.messages_created,
            )
        return outcome

    async def _keep(self, integration_id: int) -> None:
        while True:
            await asyncio.sleep(_LEASE_SECONDS / 4)
            with contextlib.suppress(DatabaseUnavailable):
                await self._renew(
                    integration_id, self._database.clock.now_us() + int(_LEASE_SECONDS * SECOND)
                )

    async def _renew(self, integration_id: int, until_us: int) -> None:
        await self._database.transaction(lambda c: history.renew(c, integration_id, until_us))
