"""A graceful switchover: the primary becomes read-only, its replica the primary, the address leads
there, and old connections live on.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.cluster import COMPANY, Cluster, clustered
from tests.faults.crowd import follow
from tests.faults.oracle import check_stored, wait_drained
from tests.faults.server_reports import wait_problem
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import (
    PASSWORD,
    PLAIN_USER,
    USER,
    MariaDB,
    has_mariadb,
    is_oracle_mysql,
)
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.tcp_proxy import TcpProxy

pytestmark = pytest.mark.skipif(
    is_oracle_mysql(), reason="MySQL sets up its replication by other statements"
)
_HEALED_SECONDS = 10.0  # promised
_NOWHERE = "http://127.0.0.1:9"  # refuses connections, so that replies wait


class Pair:
    """A primary and its replica."""

    def __init__(self) -> None:
        self.old = MariaDB(options={"server-id": "1", "log-bin": "log"})
        self.new = MariaDB(options={"server-id": "2", "log-bin": "log", "log-slave-updates": "1"})

    def start(self) -> None:
        self.old.start()
        self.new.start()
        self.new.sql(
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {self.old.port}, "
            f"MASTER_USER = '{USER}', "
            f"MASTER_PASSWORD = '{PASSWORD}', MASTER_CONNECT_RETRY = 1"
        )
        self.new.sql("START SLAVE")

    def close(self) -> None:
        self.old.close()
        self.new.close()

    def switch(self) -> None:
        """As an administrator does it: nothing that was committed is missing at the new primary."""
        self.old.sql("SET GLOBAL read_only = 1")
        at = self.old.sql("SELECT @@GLOBAL.gtid_binlog_pos AS at")[0]["at"]
        caught_up = self.new.sql("SELECT MASTER_GTID_WAIT(%s, 30) AS rc", at)
        assert caught_up == [{"rc": 0}], "the replica does not follow"
        self.new.sql("STOP SLAVE")

    def old_connections(self) -> int:
        rows = self.old.sql(
            "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE user = %s", PLAIN_USER
        )
        return int(rows[0]["n"])


@pytest.fixture
def pair(mariadb: MariaDB) -> Iterator[Pair]:
    """Skips where there is no MariaDB, as `mariadb` does."""
    assert has_mariadb()
    pair = Pair()
    try:
        pair.start()
        yield pair
    finally:
        pair.close()


@pytest.mark.parametrize("is_half", [False, True], ids=["all at the old one", "half on each side"])
async def test_the_primary_becomes_read_only_and_its_replica_the_primary(
    tmp_path: Path, pair: Pair, redis_server: Redis, is_half: bool
) -> None:
    """Row 64: replies work at the new primary within 10 s, no webhook is lost or refused, no
    connection stays at the old one.
    """
    cluster = Cluster(tmp_path, pair.old, redis_server)
    plain = pair.old.plain_url(cluster.database_name)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(clustered(cluster))
        proxy = await stack.enter_async_context(TcpProxy(pair.old.port))
        await cluster.prepare(_NOWHERE)
        cluster.database_url = plain
        server = cluster.add_server(
            database_port=proxy.port,
            env={"DATABASE_WAIT_SECONDS": "2", "RECONCILE_SECONDS": "3600"},
        )
        await cluster.start(server, are_ready=False)
        flow = Flow([server])
        async with follow(server) as agent:
            async with flow.running():
                conversation_id = await eventually(lambda: _conversation(server), limit=30)
                await eventually(lambda: _has_replied(server, conversation_id, "before"))
                await asyncio.to_thread(pair.switch)
                await wait_problem(server, "the database is read-only")
                proxy.server_port = pair.new.port
                if is_half:
                    proxy.cut_half()
                switched_at = time.monotonic()
                await eventually(lambda: _has_replied(server, conversation_id, "after"))
                healed_seconds = time.monotonic() - switched_at
                await eventually(lambda: pair.old_connections() == 0, limit=40)
            cluster.mariadb = pair.new
            await wait_drained(cluster, flow)
            await eventually(lambda: agent.seq == cluster.head())
            assert agent.is_open
        texts = cluster.stored()
        replies = {text: texts.pop(text) for text in ("before", "after")}
        assert replies == {"before": 1, "after": 1}
        cluster.check_log()
        cluster.sql("DELETE FROM social_messages WHERE sender_type = 'agent'")
        check_stored(cluster, flow)
        assert set(flow.statuses()) == {200}
        cluster.mariadb = pair.old
    assert healed_seconds < scaled(_HEALED_SECONDS)
    assert "Traceback" not in server.log


async def _conversation(server: Omni) -> int | None:
    async with server.client(server.token(COMPANY)) as http:
        answer = await http.get("/api/conversations")
    found = answer.json() if answer.status_code == 200 else []
    return int(found[0]["id"]) if found else None


async def _has_replied(server: Omni, conversation_id: int, text: str) -> bool:
    async with server.client(server.token(COMPANY)) as http:
        answer = await http.post(
            f"/api/conversations/{conversation_id}/reply",
            json={"content": text},
            headers={"Idempotency-Key": text},
        )
    assert answer.status_code in (200, 201, 503), answer.text
    assert answer.status_code != 503, answer.text
    return True
