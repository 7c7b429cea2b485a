"""What fault tests run on: a fresh database with one company, and server processes on it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server.core.times import wall_now_us
from server.db import migrations
from server.db.access import integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Database
from tests.faults.server_reports import wait_ready
from tests.kit.mariadb import MariaDB
from tests.kit.omni import SECRET_KEY, Omni
from tests.kit.redis import Redis

COMPANY, ACCOUNT, INBOX = 1, 3, 12


class Cluster:
    """A fresh database with one company, and server processes on it."""

    def __init__(self, directory: Path, mariadb: MariaDB, redis: Redis) -> None:
        self.directory = directory
        self.mariadb = mariadb
        self.redis = redis
        self.database_url = mariadb.create_database()
        self.database_name = urlsplit(self.database_url).path[1:]
        self.servers: list[Omni] = []

    async def prepare(
        self, chatwoot_url: str = "", access_token: str = "token-of-a-chatwoot-agent"
    ) -> None:
        """Tables, and an integration; without an address it is neither reconciled nor replied
        to.
        """
        await asyncio.to_thread(migrations.upgrade, self.database_url)
        await self.add_integration(chatwoot_url, access_token)

    async def add_integration(
        self,
        chatwoot_url: str,
        access_token: str,
        *,
        inbox_id: int = INBOX,
        company_id: int = COMPANY,
        account_id: int = ACCOUNT,
        webhook_secret: str | None = None,
    ) -> int:
        """One more; returns its number. With a secret it takes signed deliveries only."""
        values = {
            "company_id": company_id,
            "account_id": account_id,
            "inbox_id": inbox_id,
            "base_url": chatwoot_url,
        }
        values |= {"access_token": access_token, "webhook_secret": webhook_secret, "proved_us": 2}
        values["unsigned"] = "refused" if webhook_secret else "accepted"
        async with Database(self.database_url) as database:
            return await database.transaction(
                lambda c: integration_rows.add_integration(
                    c, Vault(SECRET_KEY), values, wall_now_us()
                )
            )

    def add_server(
        self,
        *,
        database_port: int | None = None,
        redis_port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Omni:
        """Not started yet; the ports are those of proxies."""
        server = Omni(
            self.directory,
            database_url=self.database_url.replace(
                f":{self.mariadb.port}/", f":{database_port or self.mariadb.port}/"
            ),
            broadcast_url=f"redis://127.0.0.1:{redis_port or self.redis.port}/0",
            env={"LOG_LEVEL": "WARNING", **(env or {})},
        )
        self.servers.append(server)
        return server

    async def start(self, *servers: Omni, are_ready: bool = True) -> None:
        """Start them side by side; with `are_ready` wait until `/readyz` says nothing is wrong."""
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(asyncio.to_thread(server.start))
        if are_ready:
            for server in servers:
                await wait_ready(server, limit=15)

    def close(self) -> None:
        for server in self.servers:
            server.kill9()
        self.mariadb.ensure_running()
        self.sql(f"DROP DATABASE `{self.database_name}`")

    def sql(self, text: str, *parameters: object) -> list[dict[str, Any]]:
        return self.mariadb.sql(text, *parameters, database=self.database_name)

    def head(self, company_id: int = COMPANY) -> int:
        """The newest seq of the company in the database."""
        rows = self.sql("SELECT head FROM omni_inbox_streams WHERE company_id = %s", company_id)
        return int(rows[0]["head"]) if rows else 0

    def states(self) -> Counter[str]:
        """How many deliveries the journal has in each state."""
        rows = self.sql("SELECT state, COUNT(*) AS n FROM omni_webhook_deliveries GROUP BY state")
        return Counter({row["state"]: int(row["n"]) for row in rows})

    def stored(self) -> Counter[str]:
        """How often each text is in the store."""
        return Counter(row["content"] for row in self.sql("SELECT content FROM social_messages"))

    def check_log(self, floor: int = 0, company_id: int = COMPANY) -> int:
        """The event log is gapless from its floor to its head; returns the head."""
        seqs = [
            int(row["seq"])
            for row in self.sql(
                "SELECT seq FROM omni_inbox_events WHERE company_id = %s ORDER BY seq", company_id
            )
        ]
        head = self.head(company_id)
        assert seqs == list(range(floor + 1, head + 1)), (
            f"head {head}, {len(seqs)} events, from {seqs[:3]} to {seqs[-3:]}"
        )
        return head


@contextlib.asynccontextmanager
async def clustered(cluster: Cluster) -> AsyncIterator[Cluster]:
    """Removes servers and database at the end, without blocking the loop that proxies and clients
    live in.
    """
    try:
        yield cluster
    finally:
        await asyncio.to_thread(cluster.close)


@contextlib.asynccontextmanager
async def running(
    cluster: Cluster,
    count: int = 1,
    *,
    env: Mapping[str, str] | None = None,
    are_ready: bool = True,
) -> AsyncIterator[list[Omni]]:
    """So many servers on the cluster, with the company's integration."""
    async with clustered(cluster):
        await cluster.prepare()
        servers = [cluster.add_server(env=env) for _ in range(count)]
        await cluster.start(*servers, are_ready=are_ready)
        yield servers
