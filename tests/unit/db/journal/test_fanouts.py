"""When events reached agents, as the status page reckons delays from it."""

import asyncio

from server.core.state.fan_out import FanOut
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.journal import fanouts
from server.db.migrations import upgrade
from server.db.state import eventlog


async def test_every_event_of_a_walk_counts(database_url: str) -> None:
    """A walk writes many events at once: each has a delay, the first the longest, and none of them
    stands for the others.
    """
    await asyncio.to_thread(upgrade, database_url)

    async def write(connection: Connection) -> None:
        await eventlog.lock_streams(connection, [1, 2], "epoch")
        for company_id in (1, 2):
            bodies = tuple(b'{"seq":%d}' % number for number in range(1, 6))
            await eventlog.append_events(connection, EventBatch(company_id, "epoch", 1, bodies), 50)
        walks = [
            FanOut(1, 1, 3, 90, 100, 2),
            FanOut(1, 4, 4, 190, 200, 1),
            FanOut(1, 5, 5, 290, 300, 0),
            FanOut(2, 1, 5, 90, 100, 1),
        ]
        await fanouts.append_fanouts(connection, walks)

    async with Database(database_url) as database:
        await database.transaction(write)
        found = await database.read(lambda c: fanouts.read_delays(c, 1, 0, 100))
        newest = await database.read(lambda c: fanouts.read_delays(c, 1, 150, 100))
    assert sorted(found) == [
        (100, b'{"seq":1}'),
        (100, b'{"seq":2}'),
        (100, b'{"seq":3}'),
        (200, b'{"seq":4}'),
    ]
    assert newest == [(200, b'{"seq":4}')]
