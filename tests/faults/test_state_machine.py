"""Any history of changes, bus faults, crashes, restores, slow readers and reconnects ends with every client equal to a fresh snapshot."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from server.core.recovery import parse_cursor
from server.db import migrations
from tests.faults.kit import message_payload
from tests.faults.model_world import COMPANY, World, add_integration
from tests.kit.client_model import ClientModel

_PROCESSES = st.integers(0, 1)
_CLIENTS = st.integers(0, 2)
_NUMBERS = st.integers(0, 50)


@cache
def _template() -> bytes:
    """A fresh database's bytes, made once."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "template.db"
        migrations.upgrade(f"sqlite:///{path}")
        asyncio.run(add_integration(path))
        connection = sqlite3.connect(path)
        content = connection.serialize()
        connection.close()
    return content


class Histories(RuleBasedStateMachine):
    """Each rule is one thing that happens; after each, what was set going comes to rest or not, as the rule says."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="omni-world-")
        self._runner = asyncio.Runner()
        self._message_id = 1000

    @initialize()
    def open(self) -> None:
        template = _template()

        async def make() -> World:
            world = World(Path(self._directory.name), template)
            await world.open()
            for number, client in enumerate(world.clients):
                await world.connect(client, number % 2)
            await world.poll(0)
            await world.fetch_snapshots()
            return world

        self.world = self._runner.run(make())

    def _do(self, what: Callable[[], Awaitable[Any]], *, rests: bool = True) -> None:
        async def do() -> None:
            await what()
            if rests:
                await self.world.settle()
            await self.world.fetch_snapshots()

        self._runner.run(do())

    @rule(process=_PROCESSES, conversation=st.integers(0, 2), status=st.sampled_from(["open", "resolved"]), rests=st.booleans())
    def message(self, process: int, conversation: int, status: str, rests: bool) -> None:
        """A customer writes."""
        self._message_id += 1
        payload = message_payload(f"text {self._message_id}", conversation, self._message_id)
        payload["conversation"]["status"] = status
        self._do(lambda: self.world.apply(process, payload), rests=rests)

    @precondition(lambda self: self._message_id > 1000)
    @rule(process=_PROCESSES, conversation=st.integers(0, 2), back=st.integers(0, 5), is_deleted=st.booleans())
    def change(self, process: int, conversation: int, back: int, is_deleted: bool) -> None:
        """A message is edited or deleted, perhaps one that was never told of."""
        number = max(1001, self._message_id - back)
        payload = message_payload(f"edited {number}", conversation, number, event="message_updated")
        payload["content_attributes"] = {"deleted": True} if is_deleted else {}
        self._do(lambda: self.world.apply(process, payload))

    @precondition(lambda self: self.world.changes)
    @rule(process=_PROCESSES, number=_NUMBERS)
    def tell_again(self, process: int, number: int) -> None:
        """The same webhook once more, however old."""
        self._do(lambda: self.world.tell(process, self.world.changes[number % len(self.world.changes)]))

    @rule(process=_PROCESSES)
    def die_before_publish(self, process: int) -> None:
        """Committed, and killed before the bus heard of it."""
        self._message_id += 1
        payload = message_payload(f"text {self._message_id}", 0, self._message_id)

        async def die() -> None:
            self.world.processes[process].dies_before_publish = True
            await self.world.apply(process, payload)
            await self.world.crash(process)

        self._do(die)

    @rule(process=_PROCESSES, what=st.sampled_from(["deliver", "deliver", "drop", "double", "swap"]))
    def bus(self, process: int, what: str) -> None:
        """The next message of the bus arrives, is lost, doubled, or comes behind the one after it."""
        mail = self.world.buses[process].mail
        if mail and what == "drop":
            mail.pop(0)
        elif mail and what == "double":
            mail.insert(0, mail[0])
        elif len(mail) > 1 and what == "swap":
            mail[0], mail[1] = mail[1], mail[0]

        async def deliver() -> None:
            self.world.buses[process].deliver()

        self._do(deliver)

    @rule(process=_PROCESSES)
    def compare_heads(self, process: int) -> None:
        self._do(self.world.processes[process].feeds.check)

    @rule(process=_PROCESSES)
    def crash(self, process: int) -> None:
        self._do(lambda: self.world.crash(process))

    @rule(client=_CLIENTS)
    def cut(self, client: int) -> None:
        self.world.clients[client].lose()

    @rule(client=_CLIENTS, process=_PROCESSES)
    def reconnect(self, client: int, process: int) -> None:
        one = self.world.clients[client]
        one.lose()
        self._do(lambda: self.world.connect(one, process))

    @rule(client=_CLIENTS)
    def stop_reading(self, client: int) -> None:
        self.world.clients[client].is_paused = self.world.clients[client].is_open

    @rule(client=_CLIENTS)
    def read_on(self, client: int) -> None:
        async def read_on() -> None:
            self.world.clients[client].resume_reading()

        self._do(read_on)

    @rule(process=_PROCESSES)
    def poll(self, process: int) -> None:
        self._do(lambda: self.world.poll(process))

    @rule(count=st.integers(1, 20))
    def trim(self, count: int) -> None:
        self._do(lambda: self.world.trim(count))

    @rule()
    def back_up(self) -> None:
        self.world.keep_backup()

    @precondition(lambda self: self.world.has_backup)
    @rule(by_hand=st.booleans())
    def restore(self, by_hand: bool) -> None:
        self._do(lambda: self.world.restore(by_hand=by_hand))

    def teardown(self) -> None:
        """Faults stop: heads are compared, readers read, those who were cut come back; then I1-I6."""
        try:
            if hasattr(self, "world"):
                self._runner.run(self._end())
        finally:
            self._runner.close()
            self._directory.cleanup()

    async def _end(self) -> None:
        world = self.world
        try:
            for client in world.clients:
                client.resume_reading()
            await world.settle()
            for _ in range(2):
                for process in world.processes:
                    await process.feeds.check()
                await world.settle()
            for number, client in enumerate(world.clients):
                if not client.is_open:
                    await world.connect(client, number % 2)
            head = await world.head()
            for _ in range(100):
                await world.poll(0)
                await world.settle()
                await world.fetch_snapshots()
                if world.poller.cursor == head:
                    break
            fresh = await world.snapshot()
            for client in (*world.clients, world.poller):
                assert client.cursor == head, f"at {client.cursor}, the head is {head}"
                assert client.model == fresh, _difference(client.model, fresh)
            assert parse_cursor(head).seq >= 0
            assert all(one["companyId"] == COMPANY for one in fresh.conversations.values())
        finally:
            await world.close()


def _difference(held: ClientModel, fresh: ClientModel) -> str:
    pairs = ((held.conversations, fresh.conversations), (held.messages, fresh.messages))
    return str([(ours.get(n), theirs.get(n)) for ours, theirs in pairs for n in ours | theirs if ours.get(n) != theirs.get(n)][:2])


async def test_everything_a_feed_lacks_is_trimmed(tmp_path: Path) -> None:
    """Row 13: a feed that stood behind the floor tells its clients to reset, also when no event is left at all."""
    world = World(tmp_path, await asyncio.to_thread(_template))
    await world.open()
    try:
        await world.connect(world.clients[0], 1)
        world.processes[0].dies_before_publish = True
        await world.apply(0, message_payload("text", 0, 1001))
        await world.trim(10, keep=0)
        await world.processes[1].feeds.check()
        await world.settle()
        assert world.clients[0].cursor == await world.head()
    finally:
        await world.close()


# OMNI_TEST_HISTORIES=2000 looks for longer than a test run may
_MOST = int(os.environ.get("OMNI_TEST_HISTORIES", "25"))
Histories.TestCase.settings = settings(
    max_examples=_MOST, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestHistories = Histories.TestCase
