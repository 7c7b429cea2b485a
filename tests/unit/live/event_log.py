"""A company's event log in a real database, as tests of feeds write it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from server.core.state.cursors import Stream
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.state import eventlog
from server.live.feed import Feed, FeedLimits
from server.live.hub import Hub
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite
from tests.unit.sockets import (
    Socket,
    check_order,
    event,
    tick,
)

COMPANY = 1


LIMITS = FeedLimits(ring_events=1000, ring_bytes=1_000_000)


class Written:
    """A company's event log in a real database, written as ingest writes it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.epoch = "e1"
        self.head = 0

    async def append(self, count: int = 1, content: str = "") -> EventBatch:
        """Commit events; returns what would be published."""
        bodies = tuple(event(self.head + n, self.epoch, content) for n in range(1, count + 1))
        batch = EventBatch(COMPANY, self.epoch, self.head + 1, bodies)

        async def write(c: Connection) -> None:
            await eventlog.lock_streams(c, [COMPANY], self.epoch)
            await eventlog.append_events(c, batch, 1)

        await self.database.transaction(write)
        self.head += count
        return batch

    async def stream(self) -> Stream:
        return (await self.database.read(lambda c: eventlog.read_streams(c, [COMPANY])))[COMPANY]

    async def restart(self, epoch: str) -> None:
        await self.database.transaction(lambda c: eventlog.start_epoch(c, COMPANY, epoch))
        self.epoch = epoch

    async def go_back(self, head: int) -> None:
        """As a restored backup does."""
        await self.database.transaction(
            lambda c: c.execute("DELETE FROM omni_inbox_events WHERE seq > :head", {"head": head})
        )
        await self.database.transaction(
            lambda c: c.execute("UPDATE omni_inbox_streams SET head = :head", {"head": head})
        )
        self.head = head

    async def feed(self, hub: Hub, limits: FeedLimits = LIMITS) -> Feed:
        return Feed(COMPANY, await self.stream(), self.database, hub, limits)


@asynccontextmanager
async def opened_log(directory: Path) -> AsyncIterator[Written]:
    async with Database(fresh_sqlite(directory / "feed.db")) as database:
        written = Written(database)
        await written.append(3)
        yield written


async def wait_whole(feed: Feed, socket: Socket, log: Written, start: int = 3) -> None:
    await eventually(lambda: feed.head == log.head and len(socket.seqs) == log.head - start)
    await tick(3)
    assert check_order(socket, start) == log.head


class Gated:
    """A database whose answers come, but late."""

    def __init__(self, database: Database, gate: asyncio.Event) -> None:
        self._database = database
        self._gate = gate
        self.is_waiting = False
        self.reads = 0

    async def read(self, call: Any, **options: Any) -> Any:
        self.reads += 1
        answer = await self._database.read(call, **options)
        self.is_waiting = True
        await self._gate.wait()
        return answer
