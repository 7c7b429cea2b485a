"""Two processes and one agents' socket: one of them listens, and the other goes on when it dies."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.core.times import SECOND
from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.faults.figures import told
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.servers import QUICK

LISTENS = {"CHATWOOT_SOCKETS": "true", "CHATWOOT_SOCKET_WAIT_SECONDS": "0.1"}
pytestmark = pytest.mark.anyio


@pytest.fixture
async def sim() -> AsyncIterator[ChatwootSim]:
    sim = ChatwootSim(account_id=61_001, inbox_id=61_002)
    async with serving(sim):
        yield sim


async def test_when_the_listening_process_dies_the_other_goes_on(
    tmp_path: Path, mariadb: MariaDB, redis_server: Redis, sim: ChatwootSim
) -> None:
    """Nobody tells it. One connection at a time, and every message once. By the lease it waits for
    four seconds at most, and half of one until it looks again
    (`unit/incoming/test_cable_leader.py`); how long it took here is printed.
    """
    url = mariadb.create_database()
    first = Omni(tmp_path, database_url=url, broadcast_url=redis_server.url, env=QUICK | LISTENS)
    first.prepare()
    second = first.another()
    first.start()
    try:
        async with Company(first, chatwoot=sim) as company:
            await eventually(lambda: len(sim.cable.subscriptions) == 1, limit=30)
            second.start()
            sim.customer_says("Lea", "to the first")
            await _is_told(company, 1)
            first.kill9()
            killed = time.monotonic()
            rows = await company.rows("SELECT lease_until FROM omni_chatwoot_sockets")
            left_us = int(rows[0][0]) - await company.database.read(company.database.clock.read)
            assert left_us <= 4 * SECOND, "nobody can hold it for longer without living"
            await eventually(
                lambda: sim.cable.connects == 2 and len(sim.cable.subscriptions) == 1, limit=30
            )
            told(
                "socket failover",
                seconds=time.monotonic() - killed,
                of_which_lease=left_us / SECOND,
            )
            company.http = second.client(company.token())
            sim.customer_says("Lea", "to the second")
            await _is_told(company, 2)
            assert [
                one[0]
                for one in await company.rows("SELECT seq FROM omni_inbox_events ORDER BY seq")
            ] == list(range(1, await company.head() + 1))
    finally:
        first.kill9()
        second.kill9()


async def _is_told(company: Company, count: int) -> None:
    async def counted() -> bool:
        rows = await company.rows("SELECT COUNT(*) FROM social_messages")
        return int(rows[0][0]) == count

    await eventually(counted, limit=30)
