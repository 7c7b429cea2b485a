"""Leases by which one sync of an integration runs at a time, over all processes: who comes second
waits, and is given what the first one found.

A walk says every few seconds that it lives. One whose process has died, or has stood still for too
long, is taken over; a process that goes on afterwards finds that the lease is another's, and ends
its walk.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable

from server.core.times import SECOND
from server.db.engine.database import Connection, Database
from server.db.journal import sync_leases
from server.db.journal.sync_leases import SyncLease
from server.errors import DatabaseUnavailable, Unavailable

LEASE_SECONDS = 20.0
_RENEW_SECONDS = 4.0
_POLL_SECONDS = 0.5


class LeaseLost(Exception):
    """Another sync has begun, as this one's lease was not renewed."""


class SyncLeases:
    """Lets one process at a time sync an integration."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(
        self, integration_id: int, sync: Callable[[], Awaitable[str]], on_wait: Callable[[], None]
    ) -> str:
        """Returns `sync`'s outcome, as text, or that of the sync that was running. `on_wait` is
        called while that one is waited for.

        Cancelling it ends the walk. Raises LeaseLost, Unavailable, and what `sync` and `on_wait`
        raise.
        """
        holder = uuid.uuid4().hex
        while not await self._claim(integration_id, holder):
            outcome = await self._wait(integration_id, on_wait)
            if outcome is not None:
                return outcome
        outcome = None
        try:
            outcome = await self._run_with_lease(integration_id, holder, sync)
            return outcome
        finally:
            with contextlib.suppress(Unavailable):  # it runs out by itself
                await self._database.transaction(
                    lambda c: sync_leases.end_lease(c, integration_id, holder, outcome)
                )

    async def _claim(self, integration_id: int, holder: str) -> bool:
        async def claim(connection: Connection) -> bool:
            now_us = await self._database.clock.read(connection)
            until_us = now_us + int(LEASE_SECONDS * SECOND)
            return await sync_leases.claim_lease(
                connection, integration_id, holder, now_us, until_us
            )

        return await self._database.transaction(claim)

    async def _wait(self, integration_id: int, on_wait: Callable[[], None]) -> str | None:
        """Waits until the sync that holds the lease ends: its outcome; None where it has none, or
        has died.
        """
        first: SyncLease | None = None
        while True:
            found, now_us = await self._database.read(lambda c: self._read(c, integration_id))
            first = first or found
            if found is None or first is None or found.holder != first.holder:
                return None
            if found.lease_us < now_us:
                return found.outcome
            on_wait()
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(
        self, connection: Connection, integration_id: int
    ) -> tuple[SyncLease | None, int]:
        found = await sync_leases.read_lease(connection, integration_id)
        return found, await self._database.clock.read(connection)

    async def _run_with_lease(
        self, integration_id: int, holder: str, sync: Callable[[], Awaitable[str]]
    ) -> str:
        syncing: asyncio.Task[str] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(integration_id, holder))
                syncing = group.create_task(_run(sync))
                syncing.add_done_callback(lambda _task: renewing.cancel())
        except BaseExceptionGroup as problems:
            raise problems.exceptions[0] from None  # one of two ends both
        return syncing.result()

    async def _renew(self, integration_id: int, holder: str) -> None:
        async def renew(connection: Connection) -> bool:
            until_us = await self._database.clock.read(connection) + int(LEASE_SECONDS * SECOND)
            return await sync_leases.renew_lease(connection, integration_id, holder, until_us)

        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            # the walk waits for it as well, or ends with it
            with contextlib.suppress(DatabaseUnavailable):
                if not await self._database.transaction(renew):
                    raise LeaseLost


async def _run(sync: Callable[[], Awaitable[str]]) -> str:
    return await sync()
