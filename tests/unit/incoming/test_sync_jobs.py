"""Syncs in the background beside each other: what one integration meets is no other's trouble."""

import asyncio
from pathlib import Path

import httpx

from server.chatwoot import ChatwootClient
from server.db.access.audit_log import NO_ORIGIN, Actor
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.incoming.full_sync import FullSync
from server.incoming.ingest import Ingester
from server.incoming.sync_jobs import SyncJobs
from server.integrations.directory import Directory
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.problems import english
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite
from tests.unit.integration_rows import COMPANY, add_integration

ACCOUNT, INBOX = 3, 12
_ADMIN = Actor(COMPANY, "an administrator", 1, NO_ORIGIN)


async def test_a_walk_that_breaks_leaves_the_others_alone(tmp_path: Path) -> None:
    """Whatever it is that nobody thought of: this one has failed and says so, the other one comes
    to its end, and more can be asked for.
    """
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with (
        serving(sim),
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        directory = Directory(database, Vault(""), tolerance_seconds=300, require_signature=False)
        broken, sound = [
            await add_integration(database, sim, inbox_id) for inbox_id in (INBOX + 1, INBOX)
        ]
        await directory.refresh()

        def client_of(integration: Integration) -> ChatwootClient:
            if integration.id == broken:
                raise ZeroDivisionError
            return ChatwootClient(
                base_url=sim.base_url,
                account_id=ACCOUNT,
                access_token=integration.access_token,
                http=http,
            )

        sim.customer_says("Mira", "hello")
        runs = SyncJobs(
            database,
            directory,
            FullSync(database, directory, _ingester(database, directory), client_of),
        )

        async def state(integration_id: int) -> str | None:
            run = await runs.get(COMPANY, integration_id)
            return run.state if run is not None and run.state in ("done", "failed") else None

        task = asyncio.get_running_loop().create_task(runs.run())
        try:
            for integration_id in (broken, sound):
                await runs.request(_ADMIN, integration_id)
            assert await eventually(lambda: state(broken), limit=20) == "failed"
            assert await eventually(lambda: state(sound), limit=20) == "done"
            assert not task.done()
            run = await runs.get(COMPANY, broken)
            assert run is not None
            assert "log" in english(run.problem or "")
        finally:
            task.cancel()


def _ingester(database: Database, directory: Directory) -> Ingester:
    return Ingester(database, directory, lambda batch: None, batch=10, attempts=3)
