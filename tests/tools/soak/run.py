"""One soak: start everything, traffic under faults, settle, and the accounts."""

import asyncio
import contextlib
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.crowd import crowd, fetch_snapshot, follow, wait_level
from tests.faults.lean_agent import LeanAgent
from tests.faults.server_reports import wait_ready
from tests.kit.eventually import eventually
from tests.kit.mariadb import PLAIN_USER
from tests.kit.omni import Omni
from tests.tools.soak.accounts import Accounts, account, excerpt
from tests.tools.soak.chaos import Chaos
from tests.tools.soak.faults import remove_read_ones
from tests.tools.soak.readiness import Readiness
from tests.tools.soak.site import Site, Tenant, site
from tests.tools.soak.traffic import (
    CrmWriter,
    Customers,
    Pollers,
    Repliers,
)

_ARRIVED = ("sent", "delivered", "read")


@dataclass(frozen=True)
class Plan:
    """What to run. `seed` gives the same faults in the same order; what they meet is as the
    machine's turns fall.
    """

    minutes: float = 30.0
    agents: int = 50
    seed: int = 0
    # messages and replies a second of each company, the busy one first
    rates: tuple[tuple[float, float], ...] = ((10.0, 1.0), (1.0, 0.1), (0.5, 0.1))
    crm_per_second: float = 0.0  # rows that the CRM writes itself, into all companies together
    fault_every_seconds: float = 6.0
    pace: float = 1.0  # how long faults last; 1.0 is up to a minute
    drop_rate: float = 0.02
    settle_seconds: float = 150.0
    # False where others use the machine as well: how long things took is shown and not judged
    judges_times: bool = True


async def soak(plan: Plan, say: Callable[[str], None]) -> Accounts:
    """Run it. Raises nothing for what goes wrong: that stands in the accounts, and the servers'
    logs are kept.
    """
    rng = random.Random(plan.seed)
    directory = Path(tempfile.mkdtemp(prefix="omni-soak-"))
    is_kept = True
    try:
        async with site(directory, rng, plan.rates) as made:
            accounts = await Soak(plan, made, rng, say).run()
        is_kept = bool(accounts.wrong)
    finally:
        if is_kept:
            say(f"the servers' logs are kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return accounts


class Soak:
    """Everything of one run; `accounts` reads it at the end."""

    def __init__(
        self, plan: Plan, made: Site, rng: random.Random, say: Callable[[str], None]
    ) -> None:
        self.plan = plan
        self.site = made
        self.say = say
        self.chaos = Chaos(made, plan.seed, pace=plan.pace, every_seconds=plan.fault_every_seconds)
        self.customers = [Customers(made.sim, tenant, rng) for tenant in made.tenants]
        each = plan.crm_per_second / len(made.tenants)
        # as a CRM has it: an account that `read_only` binds, as it binds the one that made the
        # triggers
        sql = partial(
            made.cluster.mariadb.sql, database=made.cluster.database_name, user=PLAIN_USER
        )
        self.crm = [CrmWriter(sql, tenant, each, rng) for tenant in made.tenants if each]
        self.repliers = [Repliers(made.servers, tenant, made.meter, rng) for tenant in made.tenants]
        self.pollers = Pollers(made.servers, made.tenants[0], 4)
        self.readiness = Readiness(made.servers)
        self.crowd = made.crowd(plan.agents)
        self.watchers = made.watchers()
        self.started = time.monotonic()
        self.settled_seconds = 0.0
        self.weights: list[list[tuple[int, int]]] = []
        self.wrong: list[str] = []

    @property
    def agents(self) -> list[LeanAgent]:
        return [*self.crowd, *self.watchers]

    @property
    def taken(self) -> list[str]:
        return [text for repliers in self.repliers for text in repliers.taken]

    def wanted(self) -> Counter[str]:
        """What Chatwoot has, and we must have; and what the CRM wrote, with what it cannot know to
        be written.
        """
        chatwoots = Counter(
            message.content or ""
            for message in self.site.sim.messages.values()
            if message.message_type != 2
        )
        unknown = {text for crm in self.crm for text in crm.unknown} & self.crm_rows().keys()
        return (
            chatwoots + Counter(text for crm in self.crm for text in crm.written) + Counter(unknown)
        )

    def crm_rows(self) -> Counter[str]:
        """The CRM's messages in the table. Blocks."""
        rows = self.site.cluster.sql(
            "SELECT content FROM social_messages WHERE content LIKE 'crm %%' AND "
            "omni_chatwoot_message_id IS NULL"
        )
        return Counter(row["content"] for row in rows)

    def crm_events(self) -> Counter[str]:
        """How often the event log says that a message of the CRM was created. Blocks."""
        rows = self.site.cluster.sql(
            "SELECT JSON_VALUE(body, '$.data.message.content') AS content FROM omni_inbox_events "
            "WHERE JSON_VALUE(body, '$.kind') = 'message.created' AND JSON_VALUE(body, "
            "'$.data.message.content') LIKE 'crm %%'"
        )
        return Counter(row["content"] for row in rows)

    async def run(self) -> Accounts:
        async with crowd(self.agents):
            self.weights.append([weigh(server) for server in self.site.servers])
            await self._traffic()
            await self._settle()
            self.weights.append([weigh(server) for server in self.site.servers])
        return await asyncio.to_thread(account, self)

    async def _traffic(self) -> None:
        stopped = asyncio.Event()
        self.started = time.monotonic()
        self.site.sim.switches.set(drop_rate=self.plan.drop_rate)

        def say(what: str) -> None:
            live = sum(agent.is_live for agent in self.agents)
            written = sum(customers.written for customers in self.customers)
            self.say(
                f"{time.monotonic() - self.started:6.0f} s  {written} messages, "
                f"{len(self.taken)} replies, {live} live · {what}"
            )

        async with asyncio.TaskGroup() as group:
            for customers, repliers in zip(self.customers, self.repliers, strict=True):
                group.create_task(customers.run(stopped))
                group.create_task(repliers.run(stopped))
            for crm in self.crm:
                group.create_task(crm.run(stopped))
            group.create_task(self.pollers.run(stopped))
            group.create_task(self.readiness.run(stopped))
            own_turns = group.create_task(self.site.meter.watch_own_turns())
            await self.chaos.run(self.plan.minutes * 60, say)
            self.site.sim.switches.reset()
            await asyncio.sleep(2.0)  # traffic meets the whole installation once more
            stopped.set()
            own_turns.cancel()

    async def _settle(self) -> None:
        """Faults have stopped: within minutes all is as if there had been none."""
        self.say("faults have stopped, settling")
        started, stopped = time.monotonic(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.readiness.run(stopped))
            try:
                await self._come_to_rest()
            finally:
                stopped.set()
        await self._check_rest()
        self.settled_seconds = time.monotonic() - started

    async def _come_to_rest(self) -> None:
        self.say("settling: what waits at Chatwoot")
        await self.site.sim.webhooks.flushed()
        for what, check, limit in (
            ("replies", self._are_replies_sent, self.plan.settle_seconds),
            ("messages", self._is_all_stored, self.plan.settle_seconds),
            ("journal", self._is_journal_done, 60.0),
            ("the CRM's rows", self._are_crm_rows_told, 60.0),
            ("agents", lambda: all(agent.is_live for agent in self.agents), 60.0),
        ):
            self.say(f"settling: {what}")
            with self._noting(what):
                await eventually(check, limit)
        self.site.meter.finish()

    async def _check_rest(self) -> None:
        for tenant in self.site.tenants:
            with self._noting(f"company {tenant.id}"):
                await wait_level(
                    self.agents_of(tenant), partial(self.site.cluster.head, tenant.id), 60.0
                )
                await asyncio.to_thread(self.site.cluster.check_log, 0, tenant.id)
                await eventually(partial(self._check_snapshots, tenant), 60.0)
        for server in self.site.servers if self.plan.judges_times else []:
            with self._noting("readyz"):
                for node in self.site.nodes:
                    # what was read only after its fault
                    await asyncio.to_thread(remove_read_ones, node)
                # the unreadable rows are told until somebody dismisses them; `accounts` counts them
                await wait_ready(server, 60.0, ignoring="cannot be stored")
        await self.pollers.check()
        self.wrong += self.pollers.stale

    def agents_of(self, tenant: Tenant) -> Sequence[LeanAgent]:
        place, each = self.site.tenants.index(tenant), len(self.site.nodes)
        own = self.watchers[place * each : (place + 1) * each]
        return [*self.crowd, *own] if place == 0 else own

    async def _is_all_stored(self) -> bool:
        stored = await asyncio.to_thread(self.site.cluster.stored)
        wanted = await asyncio.to_thread(self.wanted)
        missing, many = wanted - stored, stored - wanted
        assert stored == wanted, (
            f"{missing.total()} missing, {many.total()} too many: {excerpt([*missing, *many])}"
        )
        return True

    async def _is_journal_done(self) -> bool:
        states = await asyncio.to_thread(self.site.cluster.states)
        assert states["received"] == 0, f"{states}, {self.site.broken_rows} rows were unreadable"
        return True

    async def _are_crm_rows_told(self) -> bool:
        rows, events = (
            await asyncio.to_thread(self.crm_rows),
            await asyncio.to_thread(self.crm_events),
        )
        assert rows == events, (
            f"{(rows - events).total()} not told, {(events - rows).total()} twice: "
            f"{excerpt([*(rows - events)])}"
        )
        return True

    async def _are_replies_sent(self) -> bool:
        text = (
            "SELECT omni_delivery_state AS state, COUNT(*) AS n FROM social_messages "
            "WHERE omni_client_id IS NOT NULL GROUP BY omni_delivery_state"
        )
        rows = await asyncio.to_thread(self.site.cluster.sql, text)
        states = Counter({row["state"]: row["n"] for row in rows})
        arrived = sum(states[state] for state in _ARRIVED)
        assert (arrived, states.total()) == (len(self.taken),) * 2, (
            f"{states}, {len(self.taken)} were taken"
        )
        return True

    async def _check_snapshots(self, tenant: Tenant) -> bool:
        """A client that reads all events from the floor on holds what a fresh client holds, at
        either process.
        """
        snapshots = [await fetch_snapshot(server, tenant.id) for server in self.site.servers]
        assert snapshots[0] == snapshots[1]
        rows = self.site.cluster.sql(
            "SELECT epoch, head FROM omni_inbox_streams WHERE company_id = %s", tenant.id
        )
        cursor = f"{rows[0]['epoch']}.0"
        async with follow(self.site.servers[0], company_id=tenant.id, cursor=cursor) as agent:
            await agent.wait_for_seq(rows[0]["head"], limit=30)
        assert agent.model == snapshots[0]
        return True

    @contextlib.contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except AssertionError as problem:
            self.wrong.append(f"{what}: {problem}")
            self.say(f"{what}: {problem}"[:500])


def weigh(server: Omni) -> tuple[int, int]:
    """(resident KB, open descriptors) of a server process."""
    proc = Path(f"/proc/{server.process.pid}")
    lines = (proc / "status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return resident, len(os.listdir(proc / "fd"))
