"""The installation that a soak torments: two server processes behind proxies of their own, three
companies, one Chatwoot.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.model import Inbox
from tests.faults.cluster import ACCOUNT, COMPANY, INBOX, Cluster, clustered
from tests.faults.lean_agent import LeanAgent
from tests.faults.server_reports import wait_ready
from tests.kit.clocks import Clock
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.small_disk import SmallDisk, small_disk
from tests.kit.tcp_proxy import TcpProxy
from tests.kit.webhook import WEBHOOK_PATH
from tests.tools.soak.meter import Meter

START_SECONDS = 90.0  # of a process, on a machine that has much else to do
_SPOOL_DISK_BYTES = 64_000_000
# a process whose clock is an hour behind must not take tokens for issued in the future
_TOKEN_AGE_SECONDS = 7_200
_ENVIRONMENT = {
    "RECONCILE_SECONDS": "5",
    "RECONCILE_QUIET_SECONDS": "5",
    "RECONCILE_GRACE_SECONDS": "5",
    "CHATWOOT_TIMEOUT_SECONDS": "3",
    "REPLY_CERTAIN_SECONDS": "6",
    "REPLY_PATIENCE_SECONDS": "86400",
    "DATABASE_WAIT_SECONDS": "3",
    "DISK_LOW_BYTES": "0",
    "LOG_LEVEL": "WARNING",
}


class Balancer(TcpProxy):
    """One address for the webhook in front of all servers, as Chatwoot knows only one; it does not
    look who is alive.
    """

    def __init__(self, ports: Sequence[int], rng: random.Random) -> None:
        self._ports = list(ports)
        self._rng = rng
        super().__init__(0)

    @property
    def server_port(self) -> int:
        return self._rng.choice(self._ports)

    @server_port.setter
    def server_port(self, port: int) -> None:
        assert port == 0


@dataclass(frozen=True)
class Tenant:
    """A company with an account of its own at Chatwoot, and how busy it is."""

    id: int
    inbox: Inbox
    messages_per_second: float
    replies_per_second: float

    def token(self, server: Omni, subject: str) -> str:
        return server.token(self.id, subject, iat=int(time.time()) - _TOKEN_AGE_SECONDS)


@dataclass
class Node:
    """A server process, and what stands between it and the rest of the world."""

    number: int
    server: Omni
    clock: Clock
    database: TcpProxy
    disk: SmallDisk

    @property
    def name(self) -> str:
        return f"server {self.number}"

    @property
    def spool(self) -> Path:
        return self.disk.path / "spool.db"


@dataclass
class Site:
    """All that faults may touch."""

    cluster: Cluster
    sim: ChatwootSim
    chatwoot: TcpProxy
    nodes: list[Node]
    tenants: list[Tenant]
    meter: Meter
    broken_rows: int = 0

    @property
    def servers(self) -> list[Omni]:
        return [node.server for node in self.nodes]

    def watchers(self) -> list[LeanAgent]:
        """For each company one agent at each process, who stays there whatever happens."""
        return [
            LeanAgent(
                [node.server.port],
                tenant.token(node.server, f"watcher-{node.number}"),
                on_text=self.meter.heard,
            )
            for tenant in self.tenants
            for node in self.nodes
        ]

    def crowd(self, count: int) -> list[LeanAgent]:
        """Agents of the busy company, who go to the other process when theirs does not answer."""
        ports = [server.port for server in self.servers]
        tokens = [
            self.tenants[0].token(self.servers[0], f"crowd-{n}") for n in range(1 + count // 40)
        ]
        return [
            LeanAgent(
                [*ports[n % len(ports) :], *ports[: n % len(ports)]],
                tokens[n // 40],
                keeps_texts=n % 25 == 0,
            )
            for n in range(count)
        ]


@contextlib.asynccontextmanager
async def site(
    directory: Path, rng: random.Random, rates: Sequence[tuple[float, float]]
) -> AsyncIterator[Site]:
    """Everything started and ready. `rates`: messages and replies a second of each company, the
    busy one first.
    """
    async with contextlib.AsyncExitStack() as stack:
        mariadb, redis = MariaDB(), Redis()
        stack.callback(mariadb.close)
        stack.callback(redis.close)
        await asyncio.to_thread(mariadb.start)
        await asyncio.to_thread(redis.start)
        meter, companies = Meter(), {ACCOUNT: COMPANY}
        http = await stack.enter_async_context(_chatwoots_client(meter, companies))
        sim = ChatwootSim(
            account_id=ACCOUNT, inbox_id=INBOX, rng=random.Random(rng.random()), http=http
        )
        address = await stack.enter_async_context(serving(sim))
        chatwoot = await stack.enter_async_context(TcpProxy(int(address.rpartition(":")[2])))
        cluster = await stack.enter_async_context(clustered(Cluster(directory, mariadb, redis)))
        cluster.database_url = await asyncio.to_thread(mariadb.plain_url, cluster.database_name)
        nodes = [await _add_node(cluster, number, stack) for number in range(2)]
        made = Site(cluster, sim, chatwoot, nodes, [], meter)
        await _add_tenants(made, rates)
        companies.update({tenant.inbox.account.id: tenant.id for tenant in made.tenants})
        balancer = await stack.enter_async_context(
            Balancer([server.port for server in made.servers], rng)
        )
        for tenant in made.tenants:
            url = f"http://127.0.0.1:{balancer.port}{WEBHOOK_PATH}"
            sim.add_webhook(url, account=tenant.inbox.account, secret="")
        for server in made.servers:
            server.process.set_environment(PUBLIC_URL=f"http://127.0.0.1:{balancer.port}")
        async with asyncio.TaskGroup() as group:
            for server in made.servers:
                group.create_task(asyncio.to_thread(server.start, START_SECONDS))
        for server in made.servers:
            await wait_ready(server, START_SECONDS)
        yield made


async def _add_node(cluster: Cluster, number: int, stack: contextlib.AsyncExitStack) -> Node:
    clock = Clock(cluster.directory / f"clock-{number}")
    database = await stack.enter_async_context(TcpProxy(cluster.mariadb.port))
    disk = stack.enter_context(small_disk(cluster.directory / f"disk-{number}", _SPOOL_DISK_BYTES))
    env = _ENVIRONMENT | clock.env | {"SPOOL_PATH": str(disk.path / "spool.db")}
    return Node(
        number, cluster.add_server(database_port=database.port, env=env), clock, database, disk
    )


async def _add_tenants(made: Site, rates: Sequence[tuple[float, float]]) -> None:
    sim, address = made.sim, f"http://127.0.0.1:{made.chatwoot.port}"
    await made.cluster.prepare(address, sim.admin.access_token)
    made.tenants.append(Tenant(COMPANY, sim.inbox, *rates[0]))
    for number, rate in enumerate(rates[1:], COMPANY + 1):
        account = sim.add_account(f"Shop {number}")
        inbox = sim.add_inbox("Website", account=account)
        admin = sim.add_user(f"Admin {number}", account=account, role="administrator")
        await made.cluster.add_integration(
            address, admin.access_token, inbox_id=inbox.id, company_id=number, account_id=account.id
        )
        made.tenants.append(Tenant(number, inbox, *rate))


class _Account(msgspec.Struct):
    id: int = 0


class _Webhook(msgspec.Struct):
    event: str = ""
    content: str | None = None
    message_type: str | int | None = None
    account: _Account = msgspec.field(default_factory=_Account)


@contextlib.asynccontextmanager
async def _chatwoots_client(
    meter: Meter, companies: Mapping[int, int]
) -> AsyncIterator[httpx.AsyncClient]:
    """What Chatwoot posts its webhooks with: a new connection each; the meter hears of every
    answer.

    `companies`: the company of each account.
    """

    async def note(answer: httpx.Response) -> None:
        if answer.status_code != 200:
            meter.refuse(answer.status_code)
            return
        told = msgspec.json.decode(answer.request.content, type=_Webhook)
        if told.event == "message_created" and told.message_type == "incoming" and told.content:
            meter.acknowledged(companies[told.account.id], told.content)

    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        trust_env=False, limits=limits, event_hooks={"response": [note]}
    ) as http:
        yield http
