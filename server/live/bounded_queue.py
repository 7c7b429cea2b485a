"""A queue that is full by the bytes it holds, not only by their number: a message may be a few
bytes or some megabytes.
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """Holds at most `max_items` items and `max_bytes` bytes; an item larger than all bytes is
    accepted when nothing else waits.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._queue: asyncio.Queue[tuple[T, int]] = asyncio.Queue(max_items)
        self._max_bytes = max_bytes
        self.bytes = 0

    def put_nowait(self, item: T, size: int) -> None:
        """Append an item of `size` bytes. Raises asyncio.QueueFull."""
        if self.bytes and self.bytes + size > self._max_bytes:
            raise asyncio.QueueFull
        self._queue.put_nowait((item, size))
        self.bytes += size

    async def get(self) -> T:
        """Remove and return the oldest item, waiting for one. Cancelling the wait loses nothing."""
        item, size = await self._queue.get()
        self.bytes -= size
        return item
