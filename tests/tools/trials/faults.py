"""The faults themselves: each makes a server that is well, and then makes it not well until the
block is left.
"""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from server.core.times import wall_now_us
from server.db.access import integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.load.frame_reader import masked_text, upgrade_request
from tests.faults.cluster import ACCOUNT, COMPANY, INBOX, Cluster, clustered
from tests.faults.webhook_flow import Flow, message_payload
from tests.kit.mariadb import MariaDB
from tests.kit.omni import SECRET_KEY, Omni
from tests.kit.redis import Redis
from tests.kit.small_disk import small_disk
from tests.kit.tcp_proxy import TcpProxy
from tests.kit.webhook import WEBHOOK_PATH, delivery_of
from tests.tools.trials.places import Places

_SLOW_SECONDS = 0.8
_LONG_TEXT = "x" * 20_000
_RECEIVE_BYTES = 4_096
_COME_BACK_SECONDS = 3.0
Break = AbstractAsyncContextManager[None]


@dataclass
class Ground:
    """What a fault is made with. `env`: settings of the server beside those that the fault
    needs.
    """

    mariadb: MariaDB
    redis: Redis
    env: Mapping[str, str]


@dataclass(frozen=True)
class Fault:
    """`made(ground)` gives the places of a server that is well, and the block in which the fault
    lasts. `wanted`: by place, a word of what it must say; a place that is not named cannot know.
    """

    title: str
    made: Callable[[Ground], AbstractAsyncContextManager[tuple[Places, Break]]]
    wanted: Mapping[str, str]


@asynccontextmanager
async def _clustered(ground: Ground, **ports: int) -> AsyncIterator[tuple[Cluster, Omni]]:
    """A server that is not started yet, with the company's integration."""
    with tempfile.TemporaryDirectory(prefix="omni-trial-") as directory:
        async with clustered(Cluster(Path(directory), ground.mariadb, ground.redis)) as cluster:
            await cluster.prepare()
            yield cluster, cluster.add_server(env={"LOG_LEVEL": "INFO", **ground.env}, **ports)


async def _well(server: Omni) -> Places:
    await asyncio.to_thread(server.start)
    places = Places(server)
    await places.wait_well()
    return places


@asynccontextmanager
async def _redis_gone(ground: Ground) -> AsyncIterator[tuple[Places, Break]]:
    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        ground.redis.kill()
        try:
            yield
        finally:
            await asyncio.to_thread(ground.redis.start)

    async with _clustered(ground) as (_, server):
        yield await _well(server), broken()


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """It goes on for as long as the block does."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()


@asynccontextmanager
async def _mysql_slow(ground: Ground) -> AsyncIterator[tuple[Places, Break]]:
    """Every answer comes most of a second late."""
    async with (
        TcpProxy(ground.mariadb.port) as proxy,
        _clustered(ground, database_port=proxy.port) as (_, server),
    ):

        async def hold_back() -> None:
            while True:
                proxy.freeze()
                await asyncio.sleep(_SLOW_SECONDS)
                proxy.thaw()
                await asyncio.sleep(0.01)

        @asynccontextmanager
        async def broken() -> AsyncIterator[None]:
            try:
                async with _beside(hold_back()):
                    yield
            finally:
                proxy.thaw()

        yield await _well(server), broken()


@asynccontextmanager
async def _webhook_stopped(ground: Ground) -> AsyncIterator[tuple[Places, Break]]:
    """Chatwoot answers as ever, and customers write every second; nothing tells us."""
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)

    async def write() -> None:
        while True:
            sim.customer_says("Mira", "Is anybody there?")
            await asyncio.sleep(1.0)

    async with _clustered(ground) as (cluster, server), serving(sim):
        cluster.sql(
            "UPDATE integrations SET base_url = %s, access_token = %s",
            sim.base_url,
            sim.admin.access_token,
        )
        sim.add_webhook(server.base_url + WEBHOOK_PATH, secret="")
        places = await _well(server)
        sim.customer_says("Mira", "Good morning")
        await sim.webhooks.flushed()

        @asynccontextmanager
        async def broken() -> AsyncIterator[None]:
            sim.switches.set(drop_rate=1.0)
            async with _beside(write()):
                yield

        yield places, broken()


@asynccontextmanager
async def _client_slow(ground: Ground) -> AsyncIterator[tuple[Places, Break]]:
    """An agent whose client stops reading, and does so again each time it comes back, while
    customers send long texts.
    """
    async with _clustered(ground) as (_, server):
        places = await _well(server)

        @asynccontextmanager
        async def broken() -> AsyncIterator[None]:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(one) for one in (_come_back_deaf(server), _write_much(server))
                ]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()

        yield places, broken()


@asynccontextmanager
async def _disk_full(ground: Ground) -> AsyncIterator[tuple[Places, Break]]:
    """The embedded database and the spool on one disk, filled to its last byte while webhooks
    come.
    """
    with (
        tempfile.TemporaryDirectory(prefix="omni-trial-") as directory,
        small_disk(Path(directory) / "disk") as disk,
    ):
        # it has 8 MB
        env = {
            "LOG_LEVEL": "INFO",
            "SPOOL_PATH": str(disk.path / "spool.db"),
            "DISK_LOW_BYTES": "1000000",
            **ground.env,
        }
        server = Omni(Path(directory), database_url=f"sqlite:///{disk.path / 'omni.db'}", env=env)
        await asyncio.to_thread(server.prepare)
        await _integrated(server)
        flow = Flow([server], rate=20)

        @asynccontextmanager
        async def broken() -> AsyncIterator[None]:
            async with flow.running():
                await asyncio.to_thread(disk.fill, server.process.pid)
                yield

        try:
            yield await _well(server), broken()
        finally:
            await asyncio.to_thread(server.kill9)


async def _integrated(server: Omni) -> None:
    """Without an address, so that nothing is said of a Chatwoot that is not there."""
    values: dict[str, Any] = {
        "company_id": COMPANY,
        "account_id": ACCOUNT,
        "inbox_id": INBOX,
        "base_url": "",
    }
    values |= {
        "access_token": "token",
        "webhook_secret": None,
        "unsigned": "accepted",
        "proved_us": 2,
    }
    async with Database(server.env["DATABASE_URL"]) as database:
        await database.transaction(
            lambda c: integration_rows.add_integration(c, Vault(SECRET_KEY), values, wall_now_us())
        )


async def _come_back_deaf(server: Omni) -> None:
    with contextlib.ExitStack() as stack:
        while True:
            stack.enter_context(await asyncio.to_thread(_deaf_socket, server))
            await asyncio.sleep(_COME_BACK_SECONDS)


def _deaf_socket(server: Omni) -> socket.socket:
    """Says hello, and reads nothing afterwards; its buffer is small, so that it is felt at once."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    deaf.connect(("127.0.0.1", server.port))
    deaf.sendall(upgrade_request(f"127.0.0.1:{server.port}"))
    assert deaf.recv(_RECEIVE_BYTES).startswith(b"HTTP/1.1 101")
    deaf.sendall(
        masked_text(
            msgspec.json.encode(
                {"type": "hello", "token": server.token(COMPANY, "deaf"), "cursor": None}
            )
        )
    )
    return deaf


async def _write_much(server: Omni) -> None:
    async with server.client() as http:
        number = 500_000
        while True:
            number += 1
            await delivery_of(message_payload(_LONG_TEXT, number % 5, number)).post(http)


FAULTS = {
    "redis": Fault(
        "Redis is gone",
        _redis_gone,
        {
            "readyz": "bus does not answer",
            "log": "bus connection lost",
            "status": "bus does not answer",
            "doctor": "Redis does not",
        },
    ),
    "mysql": Fault(
        "MySQL is slow",
        _mysql_slow,
        {
            "readyz": "the database is slow",
            "log": "database slow",
            "status": "the database is slow",
            "doctor": "answers slowly",
        },
    ),
    "webhook": Fault(
        "Chatwoot's webhook stopped",
        _webhook_stopped,
        {
            "readyz": "webhooks do not arrive",
            "log": "repaired what no webhook told",
            "status": "webhooks do not arrive",
        },
    ),
    "client": Fault(
        "a client is slow",
        _client_slow,
        {
            "readyz": "clients that do not read",
            "log": "code=4208",
            "status": "clients that do not read",
        },
    ),
    "disk": Fault(
        "the disk is full",
        _disk_full,
        {
            "readyz": "webhooks are refused",
            "log": "could not be kept",
            "status": "webhooks are refused",
            "doctor": "MB left",
        },
    ),
}
