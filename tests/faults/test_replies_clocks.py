"""Replies while clocks are stepped and differ, Chatwoot stands still, processes are killed and the
database is busy: each reaches the customer once, and those of a conversation in order.
"""

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.faults.cluster import ACCOUNT, COMPANY, INBOX, Cluster, clustered
from tests.faults.crowd import fetch_snapshot
from tests.faults.figures import IS_FULL_SIZE, sized, told
from tests.kit.eventually import eventually, scaled
from tests.kit.omni import Omni
from tests.kit.webhook import WEBHOOK_PATH

_CONVERSATIONS = 5
_OF_ROUND = int(sized(5, 40))
_FOLDER = Path(__file__).parent / "clock"
# in the short form Chatwoot is given two seconds, and is certain to be done with a request three
# seconds after it has begun
_QUICK = {} if IS_FULL_SIZE else {"CHATWOOT_TIMEOUT_SECONDS": "2", "REPLY_CERTAIN_SECONDS": "3"}
_STEPS = (90.0, -90.0, 3600.0, -3600.0, 0.0)
_SETTLED_SECONDS = sized(60, 420)


class Office:
    """Two processes, each with a clock of its own, and agents of a page that sends no keys and
    tries again.
    """

    def __init__(self, cluster: Cluster, sim: ChatwootSim, directory: Path) -> None:
        self.cluster = cluster
        self.sim = sim
        self.clocks = [directory / "clock-0", directory / "clock-1"]
        for clock in self.clocks:
            clock.write_bytes(struct.pack("d", 0.0))
        self.servers = [
            cluster.add_server(
                env={
                    "PYTHONPATH": str(_FOLDER),
                    "OMNI_TEST_CLOCK": str(clock),
                    "DATABASE_WAIT_SECONDS": "1.5",
                    **_QUICK,
                }
            )
            for clock in self.clocks
        ]
        self.conversations: list[int] = []
        self.written: list[str] = []
        self.statuses: Counter[int] = Counter()

    def set_clock(self, number: int, seconds: float) -> None:
        with self.clocks[number].open("r+b") as clock:  # in place: the server has it mapped
            clock.write(struct.pack("d", seconds))

    async def write_round(self) -> list[str]:
        """So many replies, those of a conversation one after the other."""
        first = len(self.written)
        texts = [f"reply {first + n:03}" for n in range(_OF_ROUND)]
        self.written += texts
        async with asyncio.TaskGroup() as group:
            for place in range(_CONVERSATIONS):
                group.create_task(
                    self._write_each(self.conversations[place], texts[place::_CONVERSATIONS])
                )
        return texts

    async def _write_each(self, conversation_id: int, texts: list[str]) -> None:
        for number, text in enumerate(texts):
            await self._write(conversation_id, text, number)

    async def _write(self, conversation_id: int, text: str, turn: int) -> None:
        """As a person who presses the button again, at whichever server answers."""

        async def is_taken() -> bool:
            nonlocal turn
            turn += 1
            server = self.servers[turn % 2]
            with contextlib.suppress(httpx.HTTPError):
                async with server.client(server.token(COMPANY)) as http:
                    answer = await http.post(
                        f"/api/conversations/{conversation_id}/reply", json={"content": text}
                    )
                    self.statuses[answer.status_code] += 1
                    assert answer.status_code in (200, 201, 503), answer.text
                    return answer.status_code < 300
            return False

        await eventually(is_taken, limit=60)

    def at_customer(self) -> Counter[str]:
        return Counter(
            message.content or ""
            for message in self.sim.messages.values()
            if message.message_type == 1
        )

    async def all_sent(self) -> bool:
        rows = await asyncio.to_thread(
            self.cluster.sql,
            "SELECT omni_delivery_state AS state, COUNT(*) AS n FROM social_messages WHERE "
            "omni_client_id IS NOT NULL GROUP BY 1",
        )
        states = {row["state"]: row["n"] for row in rows}
        assert set(states) <= {"sent", "delivered", "read"}, states
        return bool(sum(states.values()) == len(self.written))


async def test_replies_under_wrong_clocks_stalls_kills_and_503s(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Rows 58, 59, 60 and 39."""
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with clustered(cluster), serving(sim) as address:
        await cluster.prepare(address, sim.admin.access_token)
        office = Office(cluster, sim, tmp_path)
        for server in office.servers:  # each asks Chatwoot for its own
            sim.add_webhook(server.base_url + WEBHOOK_PATH, secret="")
        await cluster.start(*office.servers)
        office.conversations = await _conversations(office)
        for misfortune in (
            _clocks_step,
            _clocks_differ,
            _database_is_busy,
            _chatwoot_stands_still,
            _a_process_dies,
        ):
            async with misfortune(office):
                await office.write_round()
            await eventually(office.all_sent, limit=_SETTLED_SECONDS)
        await eventually(
            lambda: sum(office.at_customer().values()) >= len(office.written), limit=30
        )
        at_customer = office.at_customer()
        told(
            "58-60",
            written=len(office.written),
            at_customer=at_customer.total(),
            twice=sum(n > 1 for n in at_customer.values()),
        )
        told("58-60", answers=dict(office.statuses))
        assert at_customer == dict.fromkeys(office.written, 1), at_customer - Counter(
            office.written
        )
        for conversation in sim.conversations.values():
            texts = [
                m.content
                for m in sorted(conversation.messages, key=lambda m: m.id)
                if m.message_type == 1
            ]
            assert texts == sorted(texts, key=str), "out of order"
        assert office.statuses[503], "the database was never busy"


async def _conversations(office: Office) -> list[int]:
    for number in range(_CONVERSATIONS):
        office.sim.customer_says(f"Customer {number}", f"hello {number}")
    await office.sim.webhooks.flushed()

    async def known() -> list[int]:
        model = await fetch_snapshot(office.servers[0])
        return sorted(model.conversations) if len(model.messages) == _CONVERSATIONS else []

    return await eventually(known, limit=30)


@contextlib.asynccontextmanager
async def _clocks_step(office: Office) -> AsyncIterator[None]:
    """While Chatwoot works on the requests."""
    office.sim.switches.set(latency_seconds=scaled(1.0))

    async def step() -> None:
        for seconds in _STEPS:
            for number in (0, 1):
                office.set_clock(number, seconds)
            await asyncio.sleep(scaled(0.8))

    async with asyncio.TaskGroup() as group:
        group.create_task(step())
        yield
    office.sim.switches.reset()


@contextlib.asynccontextmanager
async def _clocks_differ(office: Office) -> AsyncIterator[None]:
    office.sim.switches.set(latency_seconds=scaled(1.0))
    office.set_clock(0, 60.0)
    yield
    await eventually(office.all_sent, limit=_SETTLED_SECONDS)
    office.set_clock(0, 0.0)
    office.sim.switches.reset()


@contextlib.asynccontextmanager
async def _database_is_busy(office: Office) -> AsyncIterator[None]:
    """Somebody holds the company's row for longer than a request waits: 503, and the same text
    again.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_hold_company, office.cluster, scaled(4.0)))
        await eventually(lambda: _is_held(office.cluster), limit=30)
        yield


@contextlib.asynccontextmanager
async def _chatwoot_stands_still(office: Office) -> AsyncIterator[None]:
    """Our requests wait in its backlog; then it works off one write after the other, and answers
    reads at once.
    """
    office.sim.switches.set(stands_still=True)
    yield
    await asyncio.sleep(scaled(sized(5, 60)))
    office.sim.switches.set(stands_still=False, write_seconds=scaled(sized(0.3, 1.0)))
    await eventually(office.all_sent, limit=_SETTLED_SECONDS)
    office.sim.switches.reset()


@contextlib.asynccontextmanager
async def _a_process_dies(office: Office) -> AsyncIterator[None]:
    """Chatwoot has taken replies in and says nothing; both processes are killed, one after the
    other.
    """
    office.sim.switches.set(hang_next=3, hang_seconds=scaled(5))
    yield
    for server in office.servers:
        await _killed(server)
    office.sim.switches.reset()


async def _killed(server: Omni) -> None:
    await asyncio.to_thread(server.kill9)
    await asyncio.to_thread(server.start)


async def _is_held(cluster: Cluster) -> bool:
    text = (
        "SELECT state FROM information_schema.processlist WHERE info LIKE 'UPDATE "
        "omni_inbox_streams SET head = head + SLEEP%'"
    )
    return any(
        "sleep" in str(row["state"]).lower() for row in await asyncio.to_thread(cluster.sql, text)
    )


def _hold_company(cluster: Cluster, seconds: float) -> None:
    cluster.sql(
        f"UPDATE omni_inbox_streams SET head = head + SLEEP({seconds}) WHERE company_id = {COMPANY}"
    )
