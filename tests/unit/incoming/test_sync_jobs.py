"""Syncs in the background beside each other: what one integration meets is no other's trouble."""

import asyncio
from pathlib import Path

from server.db.access.audit_log import NO_ORIGIN, Actor
from server.incoming.full_sync import FullSync
from server.incoming.sync_jobs import SyncJobs
from server.problems import english
from tests.kit.eventually import eventually
from tests.unit.incoming.broken_client import one_of_two_breaks
from tests.unit.integration_rows import COMPANY

_ADMIN = Actor(COMPANY, "an administrator", 1, NO_ORIGIN)


async def test_a_walk_that_breaks_leaves_the_others_alone(tmp_path: Path) -> None:
    """Whatever it is that nobody thought of: this one has failed and says so, the other one comes
    to its end, and more can be asked for.
    """
    async with one_of_two_breaks(tmp_path) as two:
        two.sim.customer_says("Mira", "hello")
        runs = SyncJobs(
            two.database,
            two.directory,
            FullSync(two.database, two.directory, two.ingester, two.client_of),
        )

        async def state(integration_id: int) -> str | None:
            run = await runs.get(COMPANY, integration_id)
            return run.state if run is not None and run.state in ("done", "failed") else None

        task = asyncio.get_running_loop().create_task(runs.run())
        try:
            for integration_id in (two.broken, two.sound):
                await runs.request(_ADMIN, integration_id)
            assert await eventually(lambda: state(two.broken), limit=20) == "failed"
            assert await eventually(lambda: state(two.sound), limit=20) == "done"
            assert not task.done()
            run = await runs.get(COMPANY, two.broken)
            assert run is not None
            assert "log" in english(run.problem or "")
        finally:
            task.cancel()
