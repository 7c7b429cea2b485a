"""What waits for the bus, and what came from it, is bounded in bytes: 5,000 messages may be 5 KB or
5 GB.
"""

import asyncio

import pytest

from server.live import bus, bus_redis
from server.live.bounded_queue import BoundedQueue
from server.live.bus import Bus
from server.live.bus_redis import RedisBackend

LARGE = "x" * 1_000_000


async def test_full_by_bytes_and_by_number() -> None:
    """One that is larger than all is taken alone; what was taken out makes room."""
    queue: BoundedQueue[str] = BoundedQueue(3, 100)
    queue.put_nowait("huge", 1_000)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait("small", 1)
    assert (await queue.get(), queue.bytes) == ("huge", 0)
    for name in ("a", "b"):
        queue.put_nowait(name, 50)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait("c", 1)
    assert (await queue.get(), queue.bytes) == ("a", 50)
    for name in ("d", "e"):
        queue.put_nowait(name, 1)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait("f", 1)
    assert [await queue.get() for _ in range(3)] == ["b", "d", "e"]


async def test_a_bus_that_does_not_take_messages_holds_few_bytes_of_them() -> None:
    """A Redis that hangs: what does not fit is dropped, as the feeds compare their heads with the
    database anyway.
    """
    queue = Bus("memory://")
    for _ in range(100):
        queue.publish(1, LARGE)
    assert len(LARGE) < queue._outgoing.bytes <= bus._MAX_OUTGOING_BYTES


async def test_what_comes_faster_than_it_is_read_is_bounded() -> None:
    """Large batches of many companies at once."""
    backend = RedisBackend("redis://127.0.0.1:1/0", on_up=lambda: None)
    for _ in range(200):
        backend._put({"channel": b"company.1", "data": LARGE.encode()})
    assert len(LARGE) < backend._incoming.bytes <= bus_redis._MAX_INCOMING_BYTES
    assert (await backend.next_published()).message == LARGE
