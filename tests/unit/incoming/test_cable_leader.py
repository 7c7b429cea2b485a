"""Who listens to Chatwoot's socket: how long after its death another process does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from server.chatwoot import ChatwootClient
from server.chatwoot.cable import CableNetwork
from server.core.times import SECOND
from server.db import migrations
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.journal.journal import Delivery
from server.incoming import cable_leader
from server.incoming.cable_leader import CableLeader
from server.integrations.directory import Directory
from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.kit.eventually import eventually
from tests.unit.integration_rows import add_integration

_PROMISE_SECONDS = 5.0


@asynccontextmanager
async def _leaders(url: str) -> AsyncIterator[tuple[ChatwootSim, Database, list[CableLeader]]]:
    """Of two processes; each looks when it is told to."""
    sim = ChatwootSim(account_id=3, inbox_id=12)
    async with serving(sim), Database(url) as database, httpx.AsyncClient(trust_env=False) as http:
        directory = Directory(database, Vault(""), tolerance_seconds=300, require_signature=False)
        await add_integration(database, sim)
        await directory.refresh()
        network = CableNetwork(allows_private=True, private_hosts=(), proxy="", most_bytes=100_000)

        def client_of(one: Integration) -> ChatwootClient:
            return ChatwootClient(
                base_url=sim.base_url, account_id=3, access_token=one.access_token, http=http
            )

        async def record(delivery: Delivery) -> None:
            pass

        given: dict[str, Any] = {"is_on": True, "pause_seconds": 0.1}
        leaders = [
            CableLeader(database, directory, network, client_of, record, **given) for _ in range(2)
        ]
        try:
            yield sim, database, leaders
        finally:
            for leader in leaders:
                await leader._leave()


async def _lease(database: Database) -> tuple[str, int]:
    rows = await database.fetch_all("SELECT holder, lease_until FROM omni_chatwoot_sockets")
    assert len(rows) == 1
    return str(rows[0][0]), int(rows[0][1])


def test_the_promise_is_kept_by_the_lease_s_own_figures() -> None:
    """The dead one's lease runs out, the other looks again, and there is room for a connect."""
    assert cable_leader._LEASE_SECONDS + cable_leader._EVERY_SECONDS <= _PROMISE_SECONDS - 0.5
    assert cable_leader._LEASE_SECONDS >= 4 * cable_leader._EVERY_SECONDS, (
        "a look or two may be missed by a living one"
    )


async def test_the_first_look_after_the_lease_has_run_out_takes_it(database_url: str) -> None:
    """Not one before: there is one connection at a time."""
    migrations.upgrade(database_url)
    async with _leaders(database_url) as (sim, database, [first, second]):
        await first._renew_leases()
        began_us = await database.read(database.clock.read)
        await eventually(lambda: len(sim.cable.subscriptions) == 1, limit=30)
        holder, until_us = await _lease(database)
        assert holder == first._me
        assert until_us - began_us <= cable_leader._LEASE_SECONDS * SECOND, (
            "no longer than is promised"
        )
        await second._renew_leases()
        assert await _lease(database) == (first._me, until_us)
        assert sim.cable.connects == 1
        # it died so long ago
        await database.transaction(
            lambda c: c.execute("UPDATE omni_chatwoot_sockets SET lease_until = 1")
        )
        await second._renew_leases()
        assert (await _lease(database))[0] == second._me
        await eventually(lambda: sim.cable.connects == 2, limit=30)
        await first._renew_leases()  # it had only stood still
        assert (await _lease(database))[0] == second._me
        await eventually(lambda: len(sim.cable.subscriptions) == 1, limit=30)
