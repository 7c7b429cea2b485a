"""What fault tests share: a running cluster, a flow of webhooks that remembers what was
acknowledged, and the oracle at the end.
"""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from server.core.times import wall_now_us
from server.db import migrations
from server.db.access import integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Database
from tests.faults.lean_agent import LeanAgent
from tests.kit.client_model import ClientModel, Json
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import MariaDB
from tests.kit.omni import SECRET_KEY, Omni
from tests.kit.redis import Redis
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import WEBHOOK_PATH, Payload, delivery_of

COMPANY, ACCOUNT, INBOX = 1, 3, 12
_FIRST_MESSAGE = 100_000


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


@dataclass
class Post:
    """One webhook and what became of it; times are monotonic seconds."""

    text: str
    sent_at: float
    answered_at: float = 0.0
    status: int = 0  # 0: no answer

    @property
    def seconds(self) -> float:
        return self.answered_at - self.sent_at


@dataclass
class Flow:
    """Webhooks at a steady rate. Within a conversation each leaves only after the one before was
    answered, as their order counts.
    """

    servers: Sequence[Omni]
    rate: float = 50.0
    conversations: int = 10
    posts: list[Post] = field(default_factory=list)
    # each conversation at one server: then its order is ours to promise
    pins_conversations: bool = False
    # ids and texts begin above this: a second flow through the same conversations must not repeat
    # the first one's
    above: int = 0
    _numbers: Counter[int] = field(default_factory=Counter)

    @property
    def acknowledged(self) -> dict[str, Post]:
        return {post.text: post for post in self.posts if post.status == 200}

    @property
    def slowest_seconds(self) -> float:
        return max((post.seconds for post in self.posts), default=0.0)

    def statuses(self) -> Counter[int]:
        return Counter(post.status for post in self.posts)

    async def run(self, seconds: float) -> None:
        """Post for so long."""
        async with self.running():
            await asyncio.sleep(seconds)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Post while inside; leaving waits for the last answers."""
        limits = httpx.Limits(
            max_connections=4 * self.conversations, max_keepalive_connections=2 * self.conversations
        )
        stopped = asyncio.Event()
        async with (
            httpx.AsyncClient(timeout=scaled(10), limits=limits, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for number in range(self.conversations):
                group.create_task(self._one(http, number, stopped))
            try:
                yield
            finally:
                stopped.set()

    async def _one(
        self, http: httpx.AsyncClient, conversation: int, stopped: asyncio.Event
    ) -> None:
        pace = self.conversations / self.rate
        due = time.monotonic() + pace * conversation / self.conversations
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await stopped.wait()
                    return
            due = max(due + pace, time.monotonic() - 1.0)
            await self.post(http, conversation)

    async def post(self, http: httpx.AsyncClient, conversation: int) -> Post:
        """Send the next message of that conversation."""
        self._numbers[conversation] += 1
        number = self.above + self._numbers[conversation]
        post = Post(f"c{conversation}-{number}", time.monotonic())
        self.posts.append(post)
        place = conversation if self.pins_conversations else len(self.posts)
        delivery = delivery_of(
            message_payload(post.text, conversation, _FIRST_MESSAGE + self.above + len(self.posts))
        )
        url = self.servers[place % len(self.servers)].base_url + WEBHOOK_PATH
        with contextlib.suppress(httpx.HTTPError):
            post.status = (
                await http.post(url, content=delivery.body, headers=dict(delivery.headers))
            ).status_code
        post.answered_at = time.monotonic()
        return post


def message_payload(text: str, conversation: int, message_id: int, **changes: Any) -> Payload:
    """`message_created` from the customer as Chatwoot sends it, with what counts here."""
    now = time.time()
    contact = {"id": 9000 + conversation, "name": f"Customer {conversation}", "type": "contact"}
    return {
        "event": "message_created",
        "id": message_id,
        "account": {"id": ACCOUNT},
        "inbox": {"id": INBOX, "name": "Website"},
        "content": text,
        "content_type": "text",
        "content_attributes": {},
        "message_type": "incoming",
        "private": False,
        "created_at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "sender": contact,
        "conversation": {
            "id": 400 + conversation,
            "inbox_id": INBOX,
            "status": "open",
            "labels": [],
            "can_reply": True,
            "channel": "Channel::WebWidget",
            "contact_inbox": {"contact_id": contact["id"], "inbox_id": INBOX},
            "meta": {"sender": contact, "assignee": None},
            "created_at": int(now),
            "updated_at": now,
        },
        **changes,
    }


# what a server says of itself


async def readyz(server: Omni) -> Json:
    async with server.client() as http:
        answer = await http.get("/readyz")
        report: Json = answer.json()
        return report


async def wait_ready(
    server: Omni, limit: float = 20.0, *, ignoring: str = "(nothing is ignored)"
) -> None:
    """Until nothing is wrong any more, but for problems with that text in them."""

    async def is_ready() -> bool:
        report = await readyz(server)
        assert not [problem for problem in report["problems"] if ignoring not in problem], str(
            report
        )
        return True

    await eventually(is_ready, limit)


async def wait_problem(server: Omni, word: str, limit: float = 20.0) -> Json:
    """Until `/readyz` names a problem with that word in it; returns the report."""

    async def has_problem() -> Json:
        report = await readyz(server)
        assert any(word in problem for problem in report["problems"]), str(report)
        return report

    return await eventually(has_problem, limit)


async def metric(server: Omni, name: str, **labels: str) -> float:
    """The value of `omni_inbox_<name>` with these labels; 0 when it was never counted."""
    async with server.client() as http:
        lines = (await http.get("/metrics")).text.splitlines()
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in lines:
        head, _, value = line.rpartition(" ")
        found, _, rest = head.partition("{")
        if found == f"omni_inbox_{name}" and wanted <= set(rest.rstrip("}").split(",")):
            return float(value)
    return 0.0


async def fetch_snapshot(server: Omni, company_id: int = COMPANY) -> ClientModel:
    """A fresh client's whole view."""
    model = ClientModel()
    async with server.client(server.token(company_id)) as http:
        conversations = await _get(http, "/api/conversations")
        for conversation in conversations:
            model.load([await _get(http, f"/api/conversations/{conversation['id']}/messages")])
    return model


async def _get(http: httpx.AsyncClient, path: str) -> Any:
    answer = await http.get(path)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


# agents


def follow(
    server: Omni, subject: str = "full", *, company_id: int = COMPANY, **options: Any
) -> AgentSocket:
    """A client with a whole model."""
    return AgentSocket(server.ws_url, token=server.token(company_id, subject), **options)


@contextlib.asynccontextmanager
async def crowd(agents: Sequence[LeanAgent]) -> AsyncIterator[Sequence[LeanAgent]]:
    """All of them connected, until the end of the block."""
    async with asyncio.TaskGroup() as group:
        for agent in agents:
            group.create_task(agent.run())
        try:
            await eventually(lambda: all(agent.is_live for agent in agents), limit=20)
            yield agents
        finally:
            for agent in agents:
                agent.stop()


def crowd_of(servers: Sequence[Omni], count: int, *, per_subject: int = 40) -> list[LeanAgent]:
    """Agents spread over the servers; one in fifty remembers texts."""
    tokens: dict[int, str] = defaultdict(str)
    agents = []
    for number in range(count):
        subject = number // per_subject
        tokens[subject] = tokens[subject] or servers[0].token(COMPANY, f"crowd-{subject}")
        home = number % len(servers)
        ports = [server.port for server in (*servers[home:], *servers[:home])]
        agents.append(LeanAgent(ports, tokens[subject], keeps_texts=number % 50 < len(servers)))
    return agents


async def wait_level(
    agents: Sequence[LeanAgent], head: Callable[[], int], limit: float = 20.0
) -> None:
    """Until all agents are at the database's head."""

    async def is_level() -> bool:
        wanted = await asyncio.to_thread(head)
        behind = [agent.cursor for agent in agents if agent.seq != wanted]
        assert not behind, f"head {wanted}, {len(behind)} agents are not there: {behind[:5]}"
        return True

    await eventually(is_level, limit)


def check_crowd(agents: Sequence[LeanAgent], head: int) -> None:
    """Every event since each agent's beginning, once, in order, and no reset."""
    for agent in agents:
        assert not agent.resets, f"told to take a snapshot without need: {agent.resets}"
        assert not agent.violations, agent.violations[:5]
        assert agent.events == head - agent.first_seq, (
            f"{agent.events} of {head - agent.first_seq} events"
        )


def check_conversation_order(texts: Sequence[str]) -> None:
    """Texts `c<conversation>-<number>` come with rising numbers within each conversation."""
    last: Counter[str] = Counter()
    for text in texts:
        conversation, _, number = text.partition("-")
        assert int(number) > last[conversation], f"{text} after {conversation}-{last[conversation]}"
        last[conversation] = int(number)


def check_stored(cluster: Cluster, flow: Flow) -> None:
    """Everything acknowledged is in the store, nothing twice, and nothing that was never sent."""
    stored = cluster.stored()
    missing = [text for text in flow.acknowledged if text not in stored]
    assert not missing, f"{len(missing)} acknowledged webhooks are lost: {missing[:5]}"
    assert max(stored.values(), default=1) == 1, stored.most_common(3)
    assert set(stored) <= {post.text for post in flow.posts}


async def wait_drained(cluster: Cluster, flow: Flow, limit: float = 20.0) -> float:
    """Until everything acknowledged is in the store; returns how many seconds that took."""
    started = time.monotonic()

    async def is_drained() -> bool:
        stored = await asyncio.to_thread(cluster.stored)
        missing = [text for text in flow.acknowledged if text not in stored]
        assert not missing, (
            f"{len(missing)} missing, journal {await asyncio.to_thread(cluster.states)}"
        )
        return True

    await eventually(is_drained, limit)
    return time.monotonic() - started


def delays(flow: Flow, agents: Sequence[LeanAgent]) -> list[float]:
    """Seconds from the answer to a webhook until an agent heard its text, the shortest first."""
    posts = flow.acknowledged
    return sorted(
        at - posts[text].answered_at
        for agent in agents
        for text, at in agent.heard_at.items()
        if text in posts
    )
