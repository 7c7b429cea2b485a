"""Rounds of reconcile beside each other: what one integration meets is no other's trouble."""

import asyncio
import time
from pathlib import Path

import httpx

from server.chatwoot import ChatwootClient
from server.core.times import SECOND
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.journal import reconcile_claims
from server.incoming.ingest import Ingester
from server.incoming.reconcile import Reconcile
from server.integrations.directory import Directory
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.problems import english
from server.settings import Settings
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite
from tests.unit.incoming.broken_client import ACCOUNT, INBOX, one_of_two_breaks
from tests.unit.integration_rows import add_integration


async def test_a_round_that_breaks_leaves_the_others_alone(tmp_path: Path) -> None:
    """Whatever it is that nobody thought of: the rounds of other integrations go on, side by side
    and afterwards.
    """
    async with one_of_two_breaks(tmp_path) as two:
        reconcile = Reconcile(
            two.database,
            two.directory,
            two.ingester,
            two.client_of,
            Settings(reconcile_grace_seconds=0.0),
        )
        two.sim.customer_says("Mira", "never told of")
        task = asyncio.get_running_loop().create_task(reconcile.run())
        try:
            await eventually(lambda: _has_conversation(two.database, two.sound), limit=10)
            await eventually(lambda: not reconcile._running)
            assert not task.done()
        finally:
            task.cancel()


async def test_an_old_loss_that_is_found_late_is_no_silence(tmp_path: Path) -> None:
    """What happened before the last webhook says nothing of webhooks now; what happened long after
    it does.
    """
    behind_seconds = 0.0
    sim = ChatwootSim(
        account_id=ACCOUNT, inbox_id=INBOX, clock=lambda: time.time() - behind_seconds
    )
    async with (
        serving(sim),
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        directory = Directory(database, Vault(""), tolerance_seconds=300, require_signature=False)
        number = await add_integration(database, sim)
        ingester = Ingester(database, directory, lambda batch: None, batch=10, attempts=3)

        def client_of(integration: Integration) -> ChatwootClient:
            token = integration.access_token
            return ChatwootClient(
                base_url=sim.base_url, account_id=ACCOUNT, access_token=token, http=http
            )

        settings = Settings(reconcile_grace_seconds=0.0, reconcile_quiet_seconds=60.0)
        reconcile = Reconcile(database, directory, ingester, client_of, settings)

        async def repair() -> int:
            await directory.refresh()
            done = await reconcile.reconcile(directory.integrations[number])
            await directory.refresh()
            assert done is not None
            return done.repaired

        await repair()  # what was there before the integration is no loss
        behind_seconds = 400.0
        sim.customer_says("Mira", "never told of")
        behind_seconds = 0.0
        seen_us = database.clock.now_us() - 300 * SECOND
        await database.transaction(lambda c: reconcile_claims.write_seen(c, {number: seen_us}))
        assert await repair() > 0
        assert reconcile.problems() == []
        sim.customer_says("Mira", "never told of either")
        assert await repair() > 0
        assert [
            "webhooks do not arrive" in english(problem) for problem in reconcile.problems()
        ] == [True]


async def _has_conversation(database: Database, integration_id: int) -> bool:
    row = await database.fetch_one(
        "SELECT COUNT(*) FROM social_conversations WHERE omni_integration_id = :id",
        {"id": integration_id},
    )
    return row is not None and row[0] == 1
