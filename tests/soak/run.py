"""One soak: start everything, traffic under faults, settle, and the accounts."""

import asyncio
import contextlib
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.dev.chatwoot_sim import ChatwootSim, serving
from tests.faults.kit import ACCOUNT, INBOX, Cluster, clustered, crowd, crowd_of, fetch_snapshot, follow, wait_level, wait_ready
from tests.faults.lean_agent import LeanAgent
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.webhook import WEBHOOK_PATH
from tests.soak.chaos import Chaos
from tests.soak.traffic import Balancer, Customers, Pollers, Repliers

_SETTLE_SECONDS = 150.0
_ENVIRONMENT = {
    "RECONCILE_SECONDS": "5",
    "RECONCILE_QUIET_SECONDS": "5",
    "RECONCILE_GRACE_SECONDS": "5",
    "CHATWOOT_TIMEOUT_SECONDS": "3",
    "REPLY_CERTAIN_SECONDS": "6",
    "REPLY_ATTEMPTS": "100",
    "DATABASE_WAIT_SECONDS": "3",
    "LOG_LEVEL": "ERROR",
}


@dataclass(frozen=True)
class Plan:
    """What to run; `seed` None takes a new one each time."""

    minutes: float = 30.0
    agents: int = 50
    seed: int | None = None
    messages_per_second: float = 10.0
    replies_per_second: float = 1.0
    fault_every_seconds: float = 6.0
    drop_rate: float = 0.02


@dataclass
class Accounts:
    """What came of it: rows for people, and what is wrong."""

    rows: list[tuple[str, object]]
    wrong: list[str]


async def soak(plan: Plan, say: Callable[[str], None]) -> Accounts:
    """Run it. Raises AssertionError when the system does not settle after the faults have stopped."""
    rng = random.Random(plan.seed)
    with tempfile.TemporaryDirectory(prefix="omni-soak-") as directory, contextlib.ExitStack() as stack:
        mariadb, redis = MariaDB(), Redis()
        stack.callback(mariadb.close)
        stack.callback(redis.close)
        await asyncio.to_thread(mariadb.start)
        await asyncio.to_thread(redis.start)
        sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX, rng=random.Random(plan.seed))
        async with clustered(Cluster(Path(directory), mariadb, redis)) as cluster, serving(sim) as address:
            await cluster.prepare(address, sim.admin.access_token)
            servers = [cluster.add_server(env=_ENVIRONMENT) for _ in range(2)]
            await cluster.start(*servers)
            async with Balancer([server.port for server in servers], rng) as balancer:
                sim.add_webhook(f"http://127.0.0.1:{balancer.port}{WEBHOOK_PATH}", secret="")
                return await _Soak(plan, cluster, sim, servers, rng, say).run()


class _Soak:
    def __init__(
        self, plan: Plan, cluster: Cluster, sim: ChatwootSim, servers: Sequence[Omni], rng: random.Random, say: Callable[[str], None]
    ) -> None:
        self.plan, self.cluster, self.sim, self.servers, self.say = plan, cluster, sim, servers, say
        self.chaos = Chaos(servers, cluster.mariadb, cluster.redis, rng)
        self.customers = Customers(sim, plan.messages_per_second, rng)
        self.repliers = Repliers(servers, plan.replies_per_second, rng)
        self.pollers = Pollers(servers, 4)
        self.started = time.monotonic()
        self.settled_seconds = 0.0

    async def run(self) -> Accounts:
        agents = crowd_of(self.servers, self.plan.agents)
        async with crowd(agents):
            before = [_weigh(server) for server in self.servers]
            await self._traffic(agents)
            wrong = await self._settle(agents)
            after = [_weigh(server) for server in self.servers]
        return self._accounts(agents, wrong, before, after)

    async def _traffic(self, agents: Sequence[LeanAgent]) -> None:
        stopped = asyncio.Event()
        self.sim.switches.set(drop_rate=self.plan.drop_rate)

        def say(what: str) -> None:
            live = sum(agent.is_live for agent in agents)
            seconds = time.monotonic() - self.started
            self.say(f"{seconds:6.0f} s  {self.customers.written} messages, {len(self.repliers.taken)} replies, {live} live · {what}")

        async with asyncio.TaskGroup() as group:
            for part in (self.customers, self.repliers, self.pollers):
                group.create_task(part.run(stopped))
            await self.chaos.run(self.plan.minutes * 60, self.plan.fault_every_seconds, say)
            stopped.set()

    async def _settle(self, agents: Sequence[LeanAgent]) -> list[str]:
        """Faults have stopped: within minutes all is as if there had been none. Returns what is not."""
        self.say("faults have stopped, settling")
        started = time.monotonic()
        self.sim.switches.reset()
        await self.sim.webhooks.flushed()
        wrong: list[str] = []
        for what, check, limit in (
            ("replies", self._are_replies_sent, _SETTLE_SECONDS),
            ("messages", self._is_all_stored, _SETTLE_SECONDS),
            ("agents", lambda: _are_live(agents), 20.0),
        ):
            try:
                await eventually(check, limit)
            except AssertionError as problem:
                wrong.append(f"{what}: {problem}")
        with _noting(wrong, "agents"):
            await wait_level(agents, self.cluster.head, 20.0)
        for server in self.servers:
            with _noting(wrong, "readyz"):
                await wait_ready(server, 30.0, ignoring="webhooks do not arrive")  # as the customers are silent now
        with _noting(wrong, "event log"):
            self.cluster.check_log()
        with _noting(wrong, "snapshot"):
            await self._check_snapshots()
        await self.pollers.check()
        wrong += self.pollers.stale
        self.settled_seconds = time.monotonic() - started
        return wrong

    def _wanted(self) -> Counter[str]:
        return Counter(message.content or "" for message in self.sim.messages.values() if message.message_type != 2)

    async def _is_all_stored(self) -> bool:
        stored, wanted = await asyncio.to_thread(self.cluster.stored), self._wanted()
        assert stored == wanted, f"{len(wanted - stored)} missing, {len(stored - wanted)} too many: {list((stored - wanted).items())[:3]}"
        return True

    async def _are_replies_sent(self) -> bool:
        text = "SELECT delivery_state, COUNT(*) AS n FROM social_messages WHERE client_id IS NOT NULL GROUP BY delivery_state"
        states = Counter({row["delivery_state"]: row["n"] for row in await asyncio.to_thread(self.cluster.sql, text)})
        arrived = sum(states[state] for state in ("sent", "delivered", "read"))
        assert (arrived, states.total()) == (len(self.repliers.taken),) * 2, f"{states}, {len(self.repliers.taken)} were taken"
        return True

    async def _check_snapshots(self) -> None:
        """A client that reads all events from the floor on holds what a fresh client holds, at either process."""
        snapshots = [await fetch_snapshot(server) for server in self.servers]
        assert snapshots[0] == snapshots[1]
        epoch = self.cluster.sql("SELECT epoch FROM inbox_streams")[0]["epoch"]
        async with follow(self.servers[0], cursor=f"{epoch}.0") as agent:
            await agent.wait_for_seq(self.cluster.head(), limit=30)
        assert agent.model == snapshots[0]

    def _accounts(
        self, agents: Sequence[LeanAgent], wrong: list[str], before: list[tuple[int, int]], after: list[tuple[int, int]]
    ) -> Accounts:
        head = self.cluster.head()
        stored, wanted = self.cluster.stored(), self._wanted()
        expected = sum(head - agent.first_seq for agent in agents)
        each = [agent.events for agent in agents]
        seen = sum(each)
        violations = [violation for agent in agents for violation in agent.violations]
        doubled = sum(count - 1 for count in stored.values() if count > 1) + sum("twice" in text for text in violations)
        at_customer = [text for message in self.sim.messages.values() if (text := message.content or "").startswith("reply")]
        repaired = self.cluster.sql("SELECT SUM(repaired_count) AS n FROM integrations")[0]["n"]
        counters = self.sim.webhooks.counters
        wrong += violations[:5]
        if seen != expected:
            wrong.append(f"agents saw {seen} of {expected} events")
        if sorted(at_customer) != sorted(self.repliers.taken):
            wrong.append(f"{len(at_customer)} replies at the customer, {len(self.repliers.taken)} written")
        resets = Counter(reason for agent in agents for reason in agent.resets.elements())
        rows: list[tuple[str, object]] = [
            ("seed", self.plan.seed),
            ("faults", dict(sorted(self.chaos.counts.items()))),
            ("kills / other faults", f"{self.chaos.kills} / {self.chaos.counts.total() - self.chaos.kills}"),
            ("agents", len(agents)),
            ("webhooks sent / acknowledged", f"{counters.sent} / {counters.acknowledged}"),
            ("webhooks dropped / failed", f"{counters.dropped} / {counters.failed}"),
            ("messages at Chatwoot / stored", f"{wanted.total()} / {stored.total()}"),
            ("lost", (wanted - stored).total()),
            ("doubled", doubled),
            ("events in the log", head),
            ("events for each agent, expected / seen", f"{_range([head - one.first_seq for one in agents])} / {_range(each)}"),
            ("events of all agents, expected / seen", f"{expected} / {seen}"),
            ("order errors", len(violations)),
            ("resets", dict(resets)),
            ("reconnects", sum(agent.welcomes.total() - 1 for agent in agents)),
            ("repairs by reconcile", int(repaired)),
            ("replies written / at the customer", f"{len(self.repliers.taken)} / {len(at_customer)}"),
            ("polls", dict(self.pollers.answers)),
            ("settled after, seconds", round(self.settled_seconds, 1)),
            ("memory MB, start / end", f"{[kb // 1024 for kb, _ in before]} / {[kb // 1024 for kb, _ in after]}"),
            ("descriptors, start / end", f"{[count for _, count in before]} / {[count for _, count in after]}"),
        ]
        return Accounts(rows, wrong)


@contextlib.contextmanager
def _noting(wrong: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except AssertionError as problem:
        wrong.append(f"{what}: {problem}")


def _range(numbers: Iterable[int]) -> str:
    found = sorted(numbers)
    return str(found[0]) if found[0] == found[-1] else f"{found[0]} to {found[-1]}"


def _are_live(agents: Sequence[LeanAgent]) -> bool:
    return all(agent.is_live for agent in agents)


def _weigh(server: Omni) -> tuple[int, int]:
    """(resident KB, open descriptors) of a server process."""
    proc = Path(f"/proc/{server.process.pid}")
    lines = (proc / "status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return resident, len(os.listdir(proc / "fd"))
