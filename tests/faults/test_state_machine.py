"""Any history of changes, bus faults, crashes, restores, slow readers and reconnects ends with
every client equal to a fresh snapshot.
"""

import asyncio
import logging
import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from server.core.state.cursors import parse_cursor
from server.db import migrations
from tests.faults.figures import IS_FULL_SIZE
from tests.faults.model_process import COMPANY
from tests.faults.model_world import (
    BREAKS,
    REFUSE,
    World,
    add_integration,
)
from tests.faults.webhook_flow import message_payload
from tests.kit.client_model import ClientModel

_PROCESSES = st.integers(0, 1)
_CLIENTS = st.integers(0, 2)
_NUMBERS = st.integers(0, 50)
_BATCHES = st.lists(st.integers(0, 2), min_size=1, max_size=4)  # conversations
_STEPS = st.sampled_from([-3600.0, -90.0, 0.0, 90.0, 3600.0])  # what a wall clock is wrong by
_STANDS_RULES = 6  # rules, while a process stands still in a transaction
_YEAR_SECONDS = 365 * 86_400.0


def _is_free(self: "Histories") -> bool:
    """Nobody stands still with the database's locks."""
    return not self.world.stands_still


@pytest.fixture(scope="module", autouse=True)
def _is_quiet() -> Iterator[None]:
    """What is broken on purpose is said in the log, and to write its traceback takes longer than
    the history.
    """
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@cache
def _template() -> bytes:
    """A fresh database's bytes, made once."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "template.db"
        migrations.upgrade(f"sqlite:///{path}")
        asyncio.run(add_integration(path))
        connection = sqlite3.connect(path)
        connection.execute(REFUSE)
        connection.commit()
        content = connection.serialize()
        connection.close()
    return content


class Histories(RuleBasedStateMachine):
    """Each rule is one thing that happens; after each, what was set going comes to rest or not, as
    the rule says.
    """

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="omni-world-")
        self._runner = asyncio.Runner()
        self._message_id = 1000
        self._stood = 0

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
            self._stood = self._stood + 1 if self.world.stands_still else 0
            if self._stood > _STANDS_RULES:
                await self.world.go_on()
            await what()
            if rests:
                await self.world.settle()
            await self.world.fetch_snapshots()

        self._runner.run(do())

    @rule(
        process=_PROCESSES,
        conversation=st.integers(0, 2),
        status=st.sampled_from(["open", "resolved"]),
        rests=st.booleans(),
    )
    def message(self, process: int, conversation: int, status: str, rests: bool) -> None:
        """A customer writes."""
        payload = self._written(conversation, status)
        self._do(lambda: self.world.apply(process, payload), rests=rests)

    def _written(self, conversation: int, status: str = "open") -> dict[str, Any]:
        self._message_id += 1
        payload = message_payload(f"text {self._message_id}", conversation, self._message_id)
        payload["conversation"]["status"] = status
        return payload

    @precondition(lambda self: self._message_id > 1000)
    @rule(
        process=_PROCESSES,
        conversation=st.integers(0, 2),
        back=st.integers(0, 5),
        is_deleted=st.booleans(),
    )
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
        self._do(lambda: self.world.tell(process, number % len(self.world.changes)))

    @rule(process=_PROCESSES)
    def die_before_publish(self, process: int) -> None:
        """Committed, and killed before the bus heard of it."""
        payload = self._written(0)

        async def die() -> None:
            self.world.processes[process].dies_before_publish = True
            await self.world.apply(process, payload)
            await self.world.crash(process)

        self._do(die)

    @rule(
        process=_PROCESSES, what=st.sampled_from(["deliver", "deliver", "drop", "double", "swap"])
    )
    def bus(self, process: int, what: str) -> None:
        """The next message of the bus arrives, is lost, doubled, or comes behind the one after
        it.
        """
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

    @rule(process=_PROCESSES, seconds=_STEPS)
    def step_clock(self, process: int, seconds: float) -> None:
        """A machine's wall clock is set, and differs from the other's by up to two hours."""
        self.world.processes[process].database.skew_seconds = seconds

    @precondition(_is_free)
    @rule(process=_PROCESSES, conversation=st.integers(0, 2))
    def stand_still(self, process: int, conversation: int) -> None:
        """A process stops with the company's row locked; readers go on, writers wait until it
        does.
        """
        payload = self._written(conversation)
        self._do(lambda: self.world.stand_still(process, payload))

    @precondition(lambda self: self.world.stands_still)
    @rule()
    def go_on(self) -> None:
        self._do(self.world.go_on)

    @precondition(lambda self: self.world.clock_is_right_or_behind)
    @rule(
        process=_PROCESSES,
        conversation=st.integers(0, 2),
        status=st.sampled_from(["open", "resolved"]),
    )
    def of_the_future(self, process: int, conversation: int, status: str) -> None:
        """Chatwoot's clock was wrong by a year; the next true state is shown all the same."""
        payload = self._written(conversation, status)
        payload["conversation"]["updated_at"] += _YEAR_SECONDS
        self._do(lambda: self.world.apply(process, payload))

    @precondition(_is_free)
    @rule(
        process=_PROCESSES,
        conversations=_BATCHES,
        broken=st.sampled_from(sorted(BREAKS)),
        place=_NUMBERS,
    )
    def break_in_journal(
        self, process: int, conversations: list[int], broken: str, place: int
    ) -> None:
        """One delivery of a batch cannot be read, or not be stored."""
        payloads = [self._written(conversation) for conversation in conversations]
        self._do(lambda: self.world.ingest_journal(process, payloads, broken, place))

    @precondition(_is_free)
    @rule(count=st.integers(1, 20))
    def trim(self, count: int) -> None:
        self._do(lambda: self.world.trim(count))

    @precondition(_is_free)
    @rule()
    def back_up(self) -> None:
        self.world.keep_backup()

    @precondition(lambda self: self.world.has_backup and not self.world.stands_still)
    @rule(process=_PROCESSES, conversations=st.lists(st.integers(0, 2), max_size=12))
    def restore_unwatched(self, process: int, conversations: list[int]) -> None:
        """The log goes back while nobody is connected, and grows again, perhaps beyond where
        clients were.
        """
        payloads = [self._written(conversation) for conversation in conversations]
        self._do(lambda: self.world.restore_unwatched(process, payloads))

    @precondition(lambda self: self.world.has_backup and not self.world.stands_still)
    @rule(by_hand=st.booleans())
    def restore(self, by_hand: bool) -> None:
        self._do(lambda: self.world.restore(by_hand=by_hand))

    def teardown(self) -> None:
        """Faults stop: heads are compared, readers read, those who were cut come back; then
        I1-I6.
        """
        try:
            if hasattr(self, "world"):
                self._runner.run(self._end())
        finally:
            self._runner.close()
            self._directory.cleanup()

    async def _end(self) -> None:
        world = self.world
        try:
            await world.go_on()
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
            assert world.expected.problems(fresh) == []
            assert await world.has_ended()
            for client in (*world.clients, world.poller):
                assert client.cursor == head, f"at {client.cursor}, the head is {head}"
                assert client.model == fresh, _difference(client.model, fresh)
            assert parse_cursor(head).seq >= 0
            assert all(one["companyId"] == COMPANY for one in fresh.conversations.values())
        finally:
            await world.close()


def _difference(held: ClientModel, fresh: ClientModel) -> str:
    pairs = ((held.conversations, fresh.conversations), (held.messages, fresh.messages))
    return str(
        [
            (ours.get(n), theirs.get(n))
            for ours, theirs in pairs
            for n in ours | theirs
            if ours.get(n) != theirs.get(n)
        ][:2]
    )


async def test_everything_a_feed_lacks_is_trimmed(tmp_path: Path) -> None:
    """Row 13: a feed that stood behind the floor tells its clients to reset, also when no event is
    left at all.
    """
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


async def test_the_log_goes_back_and_grows_while_nobody_watches(tmp_path: Path) -> None:
    """Row 63, as one of the histories: who comes back is told to reset, and never given others'
    events under the numbers of its own.
    """
    world = World(tmp_path, await asyncio.to_thread(_template))
    await world.open()
    try:
        client = world.clients[0]
        await world.connect(client, 0)
        world.keep_backup()
        for number in (1001, 1002):
            await world.apply(0, message_payload("lost", 0, number))
        await world.settle()
        await world.restore_unwatched(
            1, [message_payload("kept", 0, number) for number in (1003, 1004, 1005)]
        )
        await world.connect(client, 1)
        await world.settle()
        await world.fetch_snapshots()
        assert client.model == await world.snapshot()
    finally:
        await world.close()


# OMNI_TEST_FULL=1, or OMNI_TEST_HISTORIES=2000, looks for longer than a test run may
_MOST = int(os.environ.get("OMNI_TEST_HISTORIES", "1000" if IS_FULL_SIZE else "25"))
Histories.TestCase.settings = settings(
    max_examples=_MOST,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestHistories = Histories.TestCase
